package settle

import (
	"fmt"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/schemes"
)

// market is a made-up market of banks in one currency, for drills: a directory, and
// the accounts that the banks hold at its settlement agent.
type market struct {
	banks      []tongma.ParticipantID
	prefunding map[tongma.ParticipantID]int64
	balance    map[tongma.ParticipantID]int64 // at the agent
	fund       int64                          // most that the guarantee fund pays for one window; 0: there is none
	shares     []schemes.LossShare
	recast     bool
	method     string // of the model "pairs"; empty: there is only the default model
	mandates   bool
}

const (
	drillAgent    = "drill-agent"
	drillFund     = tongma.ParticipantID("drill-fund")
	drillScheme   = tongma.SchemeID("drill")
	drillCap      = int64(1_000_000_000_00)
	drillAccount  = "DRILL-SETTLEMENT"
	drillCurrency = "CNY"
)

// account numbers at the agent.
func accountNumber(p tongma.ParticipantID) string { return strings.ToUpper(string(p)) }

func prefundingNumber(p tongma.ParticipantID) string { return accountNumber(p) + "-PRE" }

func dec(minor int64) string { return tongma.Money{Minor: minor, Currency: tongma.CNY}.Decimal() }

// directory is the market as the operator would write it.
func (m *market) directory() (*schemes.Directory, error) {
	return schemes.Parse(1, []byte(m.source()))
}

func (m *market) source() string {
	var y strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&y, format+"\n", args...) }
	line("name: drill\nrules: default\nparticipants:")
	for i, b := range m.banks {
		roles := "[acquirer]"
		if i == 0 {
			roles = "[acquirer, issuer]"
		}
		line("  - {id: %s, name: %s, country: CN, roles: %s, acquirer_ids: [%q], accepts: all, key: creds,", b, b, roles, fmt.Sprintf("%08d", 10_000+i))
		line("     caps: {CNY: %q}, accounts: [%s]}", dec(drillCap), m.accountOf(b))
	}
	line("  - {id: %s, name: Drill fund, country: CN, roles: [service], key: creds, caps: {CNY: \"0\"}, accounts: [%s]}", drillFund, m.accountOf(drillFund))
	line("schemes:\n  - {id: %s, name: Drill, participant: %s, countries: [CN], currencies: [CNY]}", drillScheme, m.banks[0])
	line("agents:\n  - id: %s\n    name: Drill agent\n    number: AGENT\n    currencies: [CNY]\n    system: DRILL", drillAgent)
	line("    switch: {name: Drill switch, number: SWITCH, accounts: {CNY: {account: %s}}}", drillAccount)
	line("settlement:\n  agent: %s", drillAgent)
	model := ""
	if m.method != "" {
		model = "pairs"
		line("  models:\n    - {id: pairs, method: %s, agent: %s, currencies: [CNY], schemes: [%s]}", m.method, drillAgent, drillScheme)
	}
	line("default_rules:\n  - currency: CNY\n    recast: %t", m.recast)
	if model != "" {
		line("    model: %s", model)
	}
	if m.fund > 0 {
		line("    guarantee: {fund: %s, amount: %q}", drillFund, dec(m.fund))
	}
	if len(m.shares) > 0 {
		line("    loss_sharing:")
	}
	for _, s := range m.shares {
		line("      - {participant: %s, weight: %d, cap: %q}", s.Participant, s.Weight, dec(s.CapMinor))
	}
	return y.String()
}

func (m *market) accountOf(p tongma.ParticipantID) string {
	s := fmt.Sprintf("{agent: %s, currency: CNY, account: %s, number: %s", drillAgent, accountNumber(p), accountNumber(p))
	if m.prefunding[p] > 0 {
		s += ", prefunding: {account: " + prefundingNumber(p) + "}"
	}
	if m.mandates {
		s += ", mandate: M-" + accountNumber(p)
	}
	return s + "}"
}

// accounts opens the market at the agent.
func (m *market) accounts() []agentsim.Account {
	mandate := func(p tongma.ParticipantID) string {
		if m.mandates {
			return "M-" + accountNumber(p)
		}
		return ""
	}
	all := []agentsim.Account{{ID: drillAccount, Code: drillCurrency, Kind: agentsim.Settlement, Owner: "SWITCH"},
		{ID: accountNumber(drillFund), Code: drillCurrency, Kind: agentsim.Guarantee, Owner: accountNumber(drillFund), Balance: m.fund, Mandate: mandate(drillFund)}}
	for _, b := range m.banks {
		a := agentsim.Account{ID: accountNumber(b), Code: drillCurrency, Kind: agentsim.Participant, Owner: accountNumber(b), Balance: m.balance[b], Mandate: mandate(b)}
		all = append(all, a)
		if m.prefunding[b] > 0 {
			all = append(all, agentsim.Account{ID: prefundingNumber(b), Code: drillCurrency, Kind: agentsim.Prefunding, Owner: accountNumber(b), Balance: m.prefunding[b]})
		}
	}
	return all
}
