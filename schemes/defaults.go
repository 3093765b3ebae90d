package schemes

import (
	"cmp"
	"slices"

	tongma "github.com/tongma/tongma"
	"go.yaml.in/yaml/v3"
)

// DefaultRules say who pays, in which order, when a participant cannot pay what it
// owes in a window: its own prefunding; then Guarantee; then LossSharing; then, if
// Recast, what cannot settle is moved to the next window. The zero DefaultRules know
// the prefunding only: what is short stays short until people act.
type DefaultRules struct {
	Model    string // DefaultModel is one
	Currency tongma.Currency
	Guarantee
	LossSharing []LossShare // by participant
	Recast      bool
}

// Guarantee is a line of a fund for one currency of a model. The zero Guarantee is
// none.
type Guarantee struct {
	Fund        tongma.ParticipantID
	AmountMinor int64 // most that the fund pays for one window
}

// LossShare is one participant's part of what is left of a loss. Whoever is short
// itself pays none, and the others share by their weights.
type LossShare struct {
	Participant tongma.ParticipantID
	Weight      int64
	CapMinor    int64 // most that it pays for one window
}

type defaultKey struct {
	model    string
	currency tongma.Currency
}

// DefaultRules finds the rules for a model's windows in a currency. There may be
// none; the zero DefaultRules hold then.
func (d *Directory) DefaultRules(model string, currency tongma.Currency) (*DefaultRules, bool) {
	r, ok := d.defaultsOf[defaultKey{model, currency}]
	return r, ok
}

// AllDefaultRules returns the rules of every model and currency that has some, by
// model and then by currency number.
func (d *Directory) AllDefaultRules() []*DefaultRules { return slices.Clone(d.defaults) }

const maxDefaults = 2000 // models times currencies

func (p *parser) defaultRules(n *yaml.Node, path string) *DefaultRules {
	r := &DefaultRules{}
	var later []func() // amounts are read by the currency, which may stand behind them
	p.mapping(n, path, []field{
		{"model", false, func(n *yaml.Node, path string) { r.Model = string(p.schemeID(n, path)) }},
		{"currency", true, func(n *yaml.Node, path string) {
			if s, ok := p.text(n, path, 8); ok {
				r.Currency = p.currency(s, path)
			}
		}},
		{"guarantee", false, func(n *yaml.Node, path string) {
			later = append(later, func() { r.Guarantee = p.guarantee(n, path, r.Currency) })
		}},
		{"loss_sharing", false, func(n *yaml.Node, path string) {
			later = append(later, func() {
				p.list(n, path, MaxParticipants, func(item *yaml.Node, at string) {
					r.LossSharing = append(r.LossSharing, p.lossShare(item, at, r.Currency))
				})
			})
		}},
		{"recast", false, func(n *yaml.Node, path string) { r.Recast = p.flag(n, path) }},
	})
	for _, read := range later {
		if r.Currency.Valid() {
			read()
		}
	}
	return r
}

func (p *parser) guarantee(n *yaml.Node, path string, c tongma.Currency) Guarantee {
	var g Guarantee
	p.mapping(n, path, []field{
		{"fund", true, func(n *yaml.Node, path string) { g.Fund = p.participantID(n, path) }},
		{"amount", true, func(n *yaml.Node, path string) { g.AmountMinor, _ = p.amount(n, path, c, 1, maxCap) }},
	})
	return g
}

func (p *parser) lossShare(n *yaml.Node, path string, c tongma.Currency) LossShare {
	var s LossShare
	p.mapping(n, path, []field{
		{"participant", true, func(n *yaml.Node, path string) { s.Participant = p.participantID(n, path) }},
		{"weight", true, func(n *yaml.Node, path string) { s.Weight = int64(p.number(n, path, 1, 1_000_000)) }},
		{"cap", true, func(n *yaml.Node, path string) { s.CapMinor, _ = p.amount(n, path, c, 1, maxCap) }},
	})
	return s
}

// linkDefaults checks that whoever the rules make pay is there and has an account.
func (p *parser) linkDefaults(d *Directory) {
	d.defaultsOf = make(map[defaultKey]*DefaultRules, len(d.defaults))
	for i, r := range d.defaults {
		path := item("default_rules", i)
		m := d.byModel[r.Model]
		switch {
		case m == nil:
			p.fail(path+"/model", tongma.ModelUnknown, nearest(r.Model, keysOf(d.byModel)), "there is no such settlement model")
			continue
		case len(m.Currencies) > 0 && !slices.Contains(m.Currencies, r.Currency):
			p.invalid(path+"/currency", "is no currency of model %s", r.Model)
			continue
		}
		once(p, d.defaultsOf, defaultKey{r.Model, r.Currency}, r, path, "this model and currency")
		if r.Fund != "" {
			p.pays(d, r.Fund, r.Currency, path+"/guarantee/fund")
		}
		for j, s := range r.LossSharing {
			at := item(path[1:]+"/loss_sharing", j) + "/participant"
			before := func(o LossShare) bool { return o.Participant == s.Participant }
			switch {
			case s.Participant == r.Fund:
				p.invalid(at, "is the fund, which pays before")
			case slices.ContainsFunc(r.LossSharing[:j], before):
				p.invalid(at, "stands twice")
			default:
				p.pays(d, s.Participant, r.Currency, at)
			}
		}
		slices.SortFunc(r.LossSharing, func(a, b LossShare) int { return cmp.Compare(a.Participant, b.Participant) })
	}
	slices.SortFunc(d.defaults, func(a, b *DefaultRules) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Currency, b.Currency))
	})
}

// pays fails unless a participant settles itself, with an account in a currency.
func (p *parser) pays(d *Directory, id tongma.ParticipantID, c tongma.Currency, path string) {
	v := d.byParticipant[id]
	if v == nil {
		p.fail(path, tongma.ParticipantUnknown, nearest(string(id), keysOf(d.byParticipant)), "there is no such participant")
		return
	}
	if v.Sponsor != "" {
		p.invalid(path, "settles through %s, so it can pay for nobody else", v.Sponsor)
	} else if _, ok := v.Caps[c]; !ok {
		p.invalid(path, "has no account in %s: give it a cap", c)
	}
}
