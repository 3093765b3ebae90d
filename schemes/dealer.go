package schemes

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	tongma "github.com/tongma/tongma"
	"go.yaml.in/yaml/v3"
)

// Dealer is what a participant offers who exchanges currencies: it takes one from
// the debtor and pays the other to the creditor.
type Dealer struct {
	QuoteLifetime time.Duration // how long one of its quotes holds
	Pairs         []Pair
}

// Pair is one direction in which a dealer exchanges.
type Pair struct {
	From, To tongma.Currency // From is what the debtor pays; never the same
	Decimals int             // of a rate of the pair: units of To for one of From
	// MarginBasisPoints is what the dealer keeps of its rate, in hundredths of a
	// percent: 0 to below 10,000.
	MarginBasisPoints decimal.Decimal
	// TestRate is a rate for trying things out, before margin: decimal text with at
	// most Decimals decimals. "" if the dealer is asked for its rates.
	TestRate string
}

// Pair finds what the dealer offers in a direction.
func (d *Dealer) Pair(from, to tongma.Currency) (*Pair, bool) {
	for i := range d.Pairs {
		if p := &d.Pairs[i]; p.From == from && p.To == to {
			return p, true
		}
	}
	return nil, false
}

// QuotesItself tells whether the dealer has to be asked for some of its rates.
func (d *Dealer) QuotesItself() bool {
	return slices.ContainsFunc(d.Pairs, func(p Pair) bool { return p.TestRate == "" })
}

// PayIn returns in what payers of a scheme may pay somebody who is paid in c, a
// currency that the scheme does not clear: those of its currencies for which there is
// a dealer, in the order in which the directory names them. None if the scheme does
// not exchange, or clears c itself.
func (d *Directory) PayIn(s *Scheme, c tongma.Currency) []tongma.Currency {
	if s == nil || !s.Exchange || s.Serves(c) {
		return nil
	}
	var found []tongma.Currency
	for _, from := range s.Currencies {
		if len(d.dealers[pairKey{from, c}]) > 0 {
			found = append(found, from)
		}
	}
	return found
}

// ExchangeModel names the settlement model of a payment in two currencies, whose two
// sides settle in one window: that of the scheme in the currency that its payer pays,
// if the model has the other currency too; otherwise the default model, which takes
// what belongs to no other.
func (d *Directory) ExchangeModel(scheme tongma.SchemeID, from, to tongma.Currency) string {
	id := d.Model(scheme, from)
	if m := d.byModel[id]; m != nil && slices.Contains(m.Currencies, to) {
		return id
	}
	return DefaultModel
}

type pairKey struct{ from, to tongma.Currency }

// Dealers returns who exchanges one currency for another, by id. Suspended ones are
// among them.
func (d *Directory) Dealers(from, to tongma.Currency) []*Participant {
	return slices.Clone(d.dealers[pairKey{from, to}])
}

// Sponsored returns the sub-participants that settle through a participant, by id.
func (d *Directory) Sponsored(sponsor tongma.ParticipantID) []*Participant {
	var subs []*Participant
	for _, v := range d.participants {
		if v.Sponsor == sponsor && sponsor != "" {
			subs = append(subs, v)
		}
	}
	return subs
}

const (
	maxPairs        = 500
	maxRateDecimals = 12
	maxRateDigits   = 15
)

func (p *parser) dealer(n *yaml.Node, path string) *Dealer {
	v := &Dealer{}
	p.mapping(n, path, []field{
		{"quote_lifetime", true, func(n *yaml.Node, path string) { v.QuoteLifetime = p.duration(n, path, time.Second, time.Hour) }},
		{"pairs", true, func(n *yaml.Node, path string) {
			p.list(n, path, maxPairs, func(item *yaml.Node, at string) { v.Pairs = append(v.Pairs, p.pair(item, at)) })
			if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
				p.invalid(path, "is empty; a dealer exchanges at least one currency for another")
			}
		}},
	})
	return v
}

func (p *parser) pair(n *yaml.Node, path string) Pair {
	before := len(p.problems)
	v := Pair{}
	currency := func(to *tongma.Currency) func(n *yaml.Node, path string) {
		return func(n *yaml.Node, path string) {
			if s, ok := p.text(n, path, 8); ok {
				*to = p.currency(s, path)
			}
		}
	}
	p.mapping(n, path, []field{
		{"from", true, currency(&v.From)},
		{"to", true, currency(&v.To)},
		{"decimals", true, func(n *yaml.Node, path string) { v.Decimals = p.number(n, path, 0, maxRateDecimals) }},
		{"margin_basis_points", false, func(n *yaml.Node, path string) {
			if v.MarginBasisPoints = p.basisPoints(n, path); v.MarginBasisPoints.GreaterThanOrEqual(decimal.NewFromInt(10_000)) {
				p.invalid(path, "must be below 10000, which would be the whole amount")
			}
		}},
		{"test_rate", false, func(n *yaml.Node, path string) { v.TestRate, _ = p.text(n, path, 32) }},
	})
	if len(p.problems) > before {
		return v
	}
	if v.From == v.To {
		p.invalid(path+"/to", "must be another currency than from")
	}
	if v.TestRate != "" && !validRate(v.TestRate, v.Decimals) {
		p.invalid(path+"/test_rate", "must be a rate above zero with at most %d decimals and %d digits", v.Decimals, maxRateDigits)
	}
	return v
}

// validRate tells whether s is digits with or without a point, above zero and
// without a needless zero in front.
func validRate(s string, decimals int) bool {
	whole, rest, point := strings.Cut(s, ".")
	return allDigits(whole) && (len(whole) == 1 || whole[0] != '0') && (!point || allDigits(rest)) && len(rest) <= decimals &&
		len(whole)+len(rest) <= maxRateDigits && strings.Trim(s, "0.") != ""
}

// linkSponsors checks who settles through whom: one step, and in the sponsor's
// currencies.
func (p *parser) linkSponsors(d *Directory) {
	for i, v := range d.participants {
		if v.Sponsor == "" {
			continue
		}
		path := item("participants", i)
		sponsor := d.byParticipant[v.Sponsor]
		switch {
		case sponsor == nil:
			p.fail(path+"/sponsor", tongma.ParticipantUnknown, nearest(string(v.Sponsor), keysOf(d.byParticipant)), "there is no such participant")
		case sponsor == v:
			p.invalid(path+"/sponsor", "must be another participant")
		case sponsor.Sponsor != "":
			p.invalid(path+"/sponsor", "%s is itself sponsored by %s", v.Sponsor, sponsor.Sponsor)
		case len(v.Accounts) > 0:
			p.invalid(path+"/accounts", "are for who settles itself; this participant settles through %s", v.Sponsor)
		case v.Dealer != nil:
			p.invalid(path+"/dealer", "is for who settles itself; this participant settles through %s", v.Sponsor)
		default:
			for c := range sorted(v.Caps) {
				if _, ok := sponsor.Caps[c]; !ok {
					p.invalid(path+"/caps/"+c.Code(), "is in a currency in which its sponsor %s has no account", v.Sponsor)
				}
			}
		}
	}
}

// linkDealers checks that dealers have accounts in what they exchange, and that
// somebody exchanges for the schemes that say so.
func (p *parser) linkDealers(d *Directory) {
	d.dealers = make(map[pairKey][]*Participant)
	for i, v := range d.participants {
		if v.Dealer == nil {
			continue
		}
		if s := d.byScheme[tongma.SchemeID(v.ID)]; s != nil && s.owner != v {
			p.invalid(item("participants", i)+"/dealer", "must not have the id of a scheme that %s runs: it is asked for quotes by its id", s.Participant)
		}
		for j, pair := range v.Dealer.Pairs {
			path := item(item("participants", i)[1:]+"/dealer/pairs", j)
			if first, _ := v.Dealer.Pair(pair.From, pair.To); first != &v.Dealer.Pairs[j] {
				p.invalid(path, "stands twice")
				continue
			}
			p.dealsIn(v, pair.From, path+"/from")
			p.dealsIn(v, pair.To, path+"/to")
			d.dealers[pairKey{pair.From, pair.To}] = append(d.dealers[pairKey{pair.From, pair.To}], v)
		}
	}
	for _, found := range d.dealers {
		slices.SortFunc(found, byID)
	}
	for i, s := range d.schemes {
		if s.Exchange && !d.exchanged(s) {
			p.invalid(item("schemes", i)+"/exchange", "needs a dealer who exchanges for one of the scheme's currencies")
		}
	}
}

// linkExchangeFees sees to it that fees of payments in two currencies can be taken:
// they are in the payer's, so that an acquirer whom a rule names needs an account in it
// if it is paid in something that dealers give for it. The other roles have theirs: the
// scheme and the switch by linkFees, and a payer's network pays from its own.
func (p *parser) linkExchangeFees(d *Directory) {
	fit := make(map[feeKey]bool) // found before; one scheme may have many sets
	for i, set := range d.feeSets {
		j := slices.IndexFunc(set.Rules, func(r FeeRule) bool { return r.names(PartyAcquirer) })
		if j < 0 || !slices.Contains(set.Operations, tongma.OpPay) {
			continue // by transfer an acquirer is paid whose own scheme clears in the fees' currency
		}
		for _, s := range d.schemes {
			key := feeKey{scheme: s.ID, currency: set.Currency}
			if !s.Exchange || fit[key] || !set.AllSchemes && !slices.Contains(set.Schemes, s.ID) {
				continue
			}
			fit[key] = true
			if who, paid := d.paidWithout(s, set.Currency); who != nil {
				p.invalid(item(item("fees", i)[1:]+"/rules", j), "names the acquirer, and %s, who is paid in %s by payers of %s in %s, has no account in %s: give it a cap",
					who.ID, paid, s.ID, set.Currency, set.Currency)
				break
			}
		}
	}
}

// paidWithout finds an acquirer that takes payers of a scheme who pay in from, is paid
// in another currency, and has no account in from.
func (d *Directory) paidWithout(s *Scheme, from tongma.Currency) (*Participant, tongma.Currency) {
	for _, v := range d.participants {
		if _, has := v.Caps[from]; has || !v.Acquirer || !v.AcceptsAll && !slices.Contains(v.Accepts, s.ID) {
			continue
		}
		for paid := range sorted(v.Caps) {
			if slices.Contains(d.PayIn(s, paid), from) {
				return v, paid
			}
		}
	}
	return nil, 0
}

// linkExchange checks that what dealers exchange is settled: a window has one agent,
// and both sides of a payment are in one window.
func (p *parser) linkExchange(d *Directory) {
	for i, v := range d.participants {
		if v.Dealer == nil {
			continue
		}
		for j, pair := range v.Dealer.Pairs {
			path := item(item("participants", i)[1:]+"/dealer/pairs", j)
			models := map[string]bool{}
			for _, s := range d.schemes {
				if slices.Contains(d.PayIn(s, pair.To), pair.From) {
					models[d.ExchangeModel(s.ID, pair.From, pair.To)] = true
				}
			}
			if len(models) == 0 {
				models[DefaultModel] = true
			}
			for _, model := range slices.Sorted(maps.Keys(models)) {
				p.settledBy(d, model, pair.From, path+"/from")
				p.settledBy(d, model, pair.To, path+"/to")
			}
		}
	}
}

func (p *parser) settledBy(d *Directory, model string, c tongma.Currency, path string) {
	if agent := d.byAgent[d.byModel[model].Agent]; agent != nil && !agent.Settles(c) {
		p.invalid(path, "is settled by nobody: agent %s, who settles payments in these two currencies, does not settle in %s", agent.ID, c)
	}
}

func (p *parser) dealsIn(v *Participant, c tongma.Currency, path string) {
	if _, ok := v.Caps[c]; !ok {
		p.invalid(path, "is a currency in which the dealer has no account: give it a cap")
	}
}

// exchanged tells whether some dealer takes or gives a currency of the scheme.
func (d *Directory) exchanged(s *Scheme) bool {
	for pair := range d.dealers {
		if s.Serves(pair.from) || s.Serves(pair.to) {
			return true
		}
	}
	return false
}
