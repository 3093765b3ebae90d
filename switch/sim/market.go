package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// Who may take part. The first four always do; the others if the market has a use
// for them.
const (
	acqA  = tongma.ParticipantID("acq-a")
	acqB  = tongma.ParticipantID("acq-b")
	walW  = tongma.ParticipantID("wal-w")
	walX  = tongma.ParticipantID("wal-x")
	subS  = tongma.ParticipantID("sub-s") // a wallet and acquirer that may settle through a sponsor
	house = tongma.ParticipantID("house") // earns what fee rules give to the switch
	feeW  = tongma.ParticipantID("net-w") // earns what they give to scheme wechat
	desk  = tongma.ParticipantID("desk")  // exchanges currencies
)

var everybody = [...]tongma.ParticipantID{acqA, acqB, walW, walX, subS, house, feeW, desk}

const people = len(everybody)

var currencies = [...]tongma.Currency{tongma.CNY, tongma.USD}

// market is a version of a history's directory. What has to do with which payments
// there are stays the same over all versions of it.
type market struct {
	sub, priced, dealing, disputes bool
	models                         []model
	caps                           [people]int64 // in whole units; 0 too
	suspended                      [people]bool
	sponsor                        tongma.ParticipantID // of sub-s; empty: none
	rules                          int                  // what is done for one who cannot pay: see defaultRule
	sets                           []feeSet
}

// model is a settlement model beside the two that every market has.
type model struct {
	id       string
	method   calendar.Model
	currency tongma.Currency
	schemes  []tongma.SchemeID // none: all
}

// disputeModel is the one in which chargebacks settle.
const disputeModel = "disputes"

// drawMarket draws a market. Most are small: what is not there cannot hide what is.
func drawMarket(r *rand.Rand) market {
	m := market{sub: r.IntN(3) == 0, priced: r.IntN(5) < 2, dealing: r.IntN(4) == 0, disputes: r.IntN(5) < 2, rules: r.IntN(ruleCount)}
	if r.IntN(2) == 0 {
		m.drawModels(r)
	}
	m = m.wide()
	if m.sub && r.IntN(4) > 0 {
		m.sponsor = acqA
	}
	if m.priced {
		m.sets = m.drawFees(r)
	}
	return m
}

func (m *market) drawModels(r *rand.Rand) {
	method := func() calendar.Model {
		return [...]calendar.Model{calendar.Bilateral, calendar.Gross, calendar.Multilateral}[r.IntN(3)]
	}
	if r.IntN(3) > 0 {
		m.models = append(m.models, model{id: "dollars", method: method(), currency: tongma.USD})
	}
	if r.IntN(3) == 0 {
		m.models = append(m.models, model{id: "wechats", method: method(), currency: tongma.CNY, schemes: []tongma.SchemeID{"wechat"}})
	}
	if r.IntN(3) == 0 {
		m.models = append(m.models, model{id: "others", method: method(), currency: tongma.CNY, schemes: []tongma.SchemeID{"alipay", "north"}})
	}
}

// wide is the market with caps that let nearly everything through.
func (m market) wide() market {
	m.caps = [people]int64{2000, 2000, 400, 400, 300, 0, 0, 2000}
	m.suspended = [people]bool{}
	return m
}

// vary is another version of the market.
func (m market) vary(r *rand.Rand) market {
	for i := range m.caps {
		m.caps[i] = []int64{0, 30, 150, 400, 2000}[r.IntN(5)]
		m.suspended[i] = r.IntN(5) == 0
	}
	if r.IntN(2) == 0 {
		m.rules = r.IntN(ruleCount)
	}
	if m.sub && r.IntN(2) == 0 {
		m.sponsor = [...]tongma.ParticipantID{"", acqA, acqB}[r.IntN(3)]
	}
	if m.priced && r.IntN(2) == 0 {
		m.sets = m.drawFees(r)
	}
	m.models = slices.Clone(m.models)
	for i := range m.models {
		if r.IntN(4) == 0 {
			m.models[i].method = [...]calendar.Model{calendar.Bilateral, calendar.Gross, calendar.Multilateral}[r.IntN(3)]
		}
	}
	return m
}

// has tells whether a participant takes part.
func (m *market) has(who tongma.ParticipantID) bool {
	switch who {
	case subS:
		return m.sub
	case house, feeW:
		return m.priced
	case desk:
		return m.dealing
	}
	return true
}

// cap is a participant's in minor units.
func (m *market) cap(who tongma.ParticipantID) int64 {
	return 100 * m.caps[slices.Index(everybody[:], who)]
}

func (m *market) isSuspended(who tongma.ParticipantID) bool {
	return m.suspended[slices.Index(everybody[:], who)]
}

// modelOf names the model of payments of a scheme in a currency.
func (m *market) modelOf(scheme tongma.SchemeID, c tongma.Currency) string {
	for _, x := range m.models {
		if x.currency == c && (len(x.schemes) == 0 || slices.Contains(x.schemes, scheme)) {
			return x.id
		}
	}
	return ""
}

// modelIDs are all models that have windows.
func (m *market) modelIDs() []string {
	ids := []string{""}
	for _, x := range m.models {
		ids = append(ids, x.id)
	}
	if m.disputes {
		ids = append(ids, disputeModel)
	}
	return ids
}

// schemeIDs are the schemes, and who runs them.
func (m *market) schemeIDs() ([]tongma.SchemeID, []tongma.ParticipantID) {
	ids, who := []tongma.SchemeID{"wechat", "alipay", "north"}, []tongma.ParticipantID{walW, walX, acqA}
	if m.sub {
		ids, who = append(ids, "south"), append(who, subS)
	}
	return ids, who
}

const schemeText = `schemes:
  - {id: wechat, name: W, participant: wal-w, countries: [CN], currencies: [CNY, USD]%s}
  - {id: alipay, name: X, participant: wal-x, countries: [CN], currencies: %s, authorise_timeout: 4s, inquire_every: 2s, reverse_every: 3s, confirm_within: 30s}
  - {id: north, name: N, participant: acq-a, countries: [CN], currencies: [CNY, USD]}
`

const southText = `  - {id: south, name: S, participant: sub-s, countries: [CN], currencies: [CNY, USD], claims: [{prefix: "8801", length: "18"}]}
`

const disputeText = `disputes: {calendar: days, answer_days: 1, pre_arbitration_days: 1, arbitration_days: 1, ruling_days: 2, max_age_days: 3, reasons: [{code: not-received, title: Not received}]}
calendar:
  currencies: {}
  agents: {}
  calendars:
    - {id: days, version: 1, zone: Asia/Bangkok, valid: {from: 1999-12-01, to: 2003-12-31}, weekend: []}
`

// source is the directory's text.
func (m *market) source() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	line("name: sim\nrules: default\nparticipants:\n")
	for i, id := range everybody {
		if !m.has(id) {
			continue
		}
		roles := "roles: [acquirer, issuer], accepts: all"
		if id == house || id == feeW || id == desk {
			roles = "roles: [service]"
		}
		line("  - {id: %s, name: %s, country: CN, %s, suspended: %t, caps: {CNY: \"%d.00\", USD: \"%d.00\"}", id, id, roles, m.suspended[i], m.caps[i], m.caps[i])
		switch id {
		case acqA:
			line(`, issuer_code: "2001"`)
		case subS:
			line(`, issuer_code: "2002"`)
			if m.sponsor != "" {
				line(", sponsor: %s", m.sponsor)
			}
		case desk:
			line(`, dealer: {quote_lifetime: 30s, pairs: [{from: CNY, to: USD, decimals: 4}]}`)
		}
		line("}\n")
	}
	party := ""
	if m.priced {
		line("switch_party: house\n")
		party = ", fee_party: net-w"
	}
	serves := "[CNY, USD]"
	if m.dealing {
		serves = "[CNY], exchange: true"
	}
	line(schemeText, party, serves)
	if m.sub {
		line(southText)
	}
	for i := range m.sets {
		m.sets[i].write(&b, i == 0)
	}
	for i, x := range m.models {
		if i == 0 {
			line("settlement:\n  models:\n")
		}
		list := "all"
		if len(x.schemes) > 0 {
			list = "[" + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(x.schemes)), ", "), "[]") + "]"
		}
		line("    - {id: %s, method: %s, currencies: [%s], schemes: %s}\n", x.id, x.method, x.currency.Code(), list)
	}
	if m.disputes {
		line(disputeText)
	}
	m.writeRules(&b)
	return b.String()
}

// ruleCount is how many ways there are to treat one who cannot pay.
const ruleCount = 5

// writeRules writes them, for every model and currency.
func (m *market) writeRules(b *strings.Builder) {
	if m.rules == 0 {
		return
	}
	b.WriteString("default_rules:\n")
	for _, id := range m.modelIDs() {
		for _, c := range currencies {
			if i := slices.IndexFunc(m.models, func(x model) bool { return x.id == id }); i >= 0 && m.models[i].currency != c {
				continue
			}
			text := ruleTexts[m.rules][c == tongma.USD]
			if id != "" {
				text = "model: " + id + ", " + text
			}
			fmt.Fprintf(b, "  - {currency: %s, %s}\n", c.Code(), text)
		}
	}
}

var ruleTexts = [ruleCount]map[bool]string{
	1: {false: "recast: true", true: "recast: true"},
	2: {false: `guarantee: {fund: acq-b, amount: "20.00"}, loss_sharing: [{participant: wal-w, weight: 2, cap: "15.00"}, {participant: acq-a, weight: 1, cap: "5.00"}], recast: true`,
		true: `loss_sharing: [{participant: wal-x, weight: 2, cap: "15.00"}, {participant: acq-b, weight: 1, cap: "50.00"}]`},
	3: {false: `guarantee: {fund: acq-a, amount: "2000.00"}`, true: `guarantee: {fund: acq-b, amount: "10.00"}, recast: true`},
	4: {false: `loss_sharing: [{participant: wal-w, weight: 1, cap: "2000.00"}, {participant: wal-x, weight: 3, cap: "2000.00"}, {participant: acq-b, weight: 3, cap: "2000.00"}]`,
		true: `guarantee: {fund: wal-x, amount: "10.00"}, loss_sharing: [{participant: acq-a, weight: 1, cap: "2000.00"}]`},
}

// directory is the market as a version of the directory.
func (m *market) directory(version uint64) (*schemes.Directory, error) {
	return schemes.Parse(version, []byte(m.source()))
}

// shopCode names a merchant's code: who acquires, and in which currency.
type shopCode struct {
	acquirer tongma.ParticipantID
	currency tongma.Currency
}

// shopCodes are the codes of one merchant each of acq-a and sub-s.
var shopCodes = sync.OnceValues(func() (map[shopCode]string, error) {
	codes := map[shopCode]string{}
	for number, acquirer := range map[string]tongma.ParticipantID{"2001": acqA, "2002": subS} {
		account, err := codespec.UnifiedAccount{Acquirer: number, Merchant: "SHOP7", Till: "01"}.Account()
		if err != nil {
			return nil, err
		}
		for _, c := range currencies {
			m, err := emv.Draft{Accounts: []emv.Account{account}, MCC: "5999", Currency: c.Number(), Country: "CN", Name: "SHOP", City: "TOWN"}.Build()
			if err != nil {
				return nil, err
			}
			if codes[shopCode{acquirer, c}], err = m.Encode(); err != nil {
				return nil, err
			}
		}
	}
	return codes, nil
})
