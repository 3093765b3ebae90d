package schemes

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	tongma "github.com/tongma/tongma"
	"go.yaml.in/yaml/v3"
)

// MaxFeeLegs bounds the fees of one payment, shares counted one by one: it is what
// one entry of the journal can carry.
const MaxFeeLegs = 8

// FeeSet is the fees of some payments from an instant on. The newest set that is in
// force holds alone: it replaces what older ones say of the same payments, and a
// set without rules ends their fees.
type FeeSet struct {
	AllSchemes    bool
	Schemes       []tongma.SchemeID  // by id; none if all
	Operations    []tongma.Operation // OpPay, OpTransfer or both
	Currency      tongma.Currency    // of the payments and of the fees
	EffectiveFrom int64              // Unix ms
	Rules         []FeeRule          // in the order of the file, which is that of the legs

	ruleNode *yaml.Node
	rulePath string
}

type feeKey struct {
	scheme   tongma.SchemeID
	op       tongma.Operation
	currency tongma.Currency
}

// fees is the part of a directory that says what payments cost.
type fees struct {
	switchParty tongma.ParticipantID
	feeSets     []*FeeSet            // as they stand in the file
	feesOf      map[feeKey][]*FeeSet // newest first
}

// Fees returns the rules for payments of a scheme by an operation in a currency at
// an instant (Unix ms): those of the newest set in force, or none. It does not
// allocate. A refund or reversal goes by the legs of its payment, not by rules.
func (d *Directory) Fees(scheme tongma.SchemeID, op tongma.Operation, currency tongma.Currency, atMillis int64) []FeeRule {
	if d.feesOf == nil {
		return nil
	}
	for _, set := range d.feesOf[feeKey{scheme, op, currency}] {
		if set.EffectiveFrom <= atMillis {
			return set.Rules
		}
	}
	return nil
}

// FeeSets returns all sets, past and future ones too, in the order of the file.
func (d *Directory) FeeSets() []*FeeSet { return slices.Clone(d.feeSets) }

// SwitchParty is who plays PartySwitch in fee rules, or "" if no rule names it.
func (d *Directory) SwitchParty() tongma.ParticipantID { return d.switchParty }

const (
	maxFeeSets = 2000
	maxFeeKeys = 200_000 // pairs of a set and what it is for
	maxTiers   = 32
)

var (
	feeKinds  = []string{"interchange", "scheme", "switch"}
	feeRoles  = []string{"issuer", "acquirer", "scheme", "switch"}
	onRefunds = []string{"keep", "return"}
)

func (p *parser) feeSet(n *yaml.Node, path string) *FeeSet {
	set := &FeeSet{Operations: []tongma.Operation{tongma.OpPay, tongma.OpTransfer}}
	p.mapping(n, path, []field{
		{"schemes", true, func(n *yaml.Node, path string) { set.AllSchemes, set.Schemes = p.schemesOf(n, path) }},
		{"operations", false, func(n *yaml.Node, path string) { set.Operations = p.operations(n, path) }},
		{"currency", true, func(n *yaml.Node, path string) {
			if s, ok := p.text(n, path, 8); ok {
				set.Currency = p.currency(s, path)
			}
		}},
		{"effective_from", true, func(n *yaml.Node, path string) { set.EffectiveFrom = p.instant(n, path) }},
		{"rules", true, func(n *yaml.Node, path string) { set.ruleNode, set.rulePath = n, path }},
	})
	if set.ruleNode != nil && set.Currency.Valid() { // amounts are read by the currency, which may stand behind them
		p.list(set.ruleNode, set.rulePath, MaxFeeLegs, func(item *yaml.Node, at string) {
			set.Rules = append(set.Rules, p.feeRule(item, at, set.Currency))
		})
	}
	return set
}

func (p *parser) operations(n *yaml.Node, path string) []tongma.Operation {
	var all []tongma.Operation
	p.list(n, path, 2, func(item *yaml.Node, at string) {
		all = append(all, [...]tongma.Operation{tongma.OpPay, tongma.OpTransfer}[p.oneOf(item, at, []string{"pay", "transfer"})])
	})
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.invalid(path, "is empty; leave it out if pay and transfer are meant")
	}
	distinct(p, path, all)
	return all
}

// instant reads an instant with its offset (RFC 3339) as Unix ms.
func (p *parser) instant(n *yaml.Node, path string) int64 {
	s, ok := p.text(n, path, 40)
	if !ok {
		return 0
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UnixMilli() < 0 {
		p.invalid(path, "must be an instant with its offset, as 2026-05-01T00:00:00+08:00")
		return 0
	}
	return t.UnixMilli()
}

func (p *parser) feeRule(n *yaml.Node, path string, c tongma.Currency) FeeRule {
	before := len(p.problems)
	r := FeeRule{Currency: c}
	amount := func(to *int64) func(n *yaml.Node, path string) {
		return func(n *yaml.Node, path string) { *to, _ = p.amount(n, path, c, 0, tongma.MaxMinor) }
	}
	p.mapping(n, path, []field{
		{"kind", true, func(n *yaml.Node, path string) { r.Kind = FeeInterchange + FeeKind(p.oneOf(n, path, feeKinds)) }},
		{"from", true, func(n *yaml.Node, path string) { r.From = p.role(n, path) }},
		{"to", false, func(n *yaml.Node, path string) { r.To = p.role(n, path) }},
		{"shares", false, func(n *yaml.Node, path string) { r.Shares = p.shares(n, path) }},
		{"basis_points", false, func(n *yaml.Node, path string) { r.BasisPoints = p.basisPoints(n, path) }},
		{"flat", false, amount(&r.FlatMinor)},
		{"tiers", false, func(n *yaml.Node, path string) { r.Tiers = p.tiers(n, path, c) }},
		{"min", false, amount(&r.MinMinor)},
		{"max", false, amount(&r.MaxMinor)},
		{"on_refund", false, func(n *yaml.Node, path string) { r.OnRefund = OnRefund(p.oneOf(n, path, onRefunds)) }},
	})
	if len(p.problems) == before {
		p.feeFits(&r, path)
	}
	return r
}

// feeFits checks what the keys of a rule say of each other.
func (p *parser) feeFits(r *FeeRule, path string) {
	self := func(s Share) bool { return s.To == r.From }
	switch {
	case r.To == PartyNone && len(r.Shares) == 0:
		p.fail(path+"/to", tongma.FieldMissing, "", "is missing, and so are shares")
	case r.To != PartyNone && len(r.Shares) > 0:
		p.invalid(path+"/shares", "must not stand beside to")
	case r.To == r.From:
		p.invalid(path+"/to", "must not be who pays the fee")
	case slices.ContainsFunc(r.Shares, self):
		p.invalid(item(path[1:]+"/shares", slices.IndexFunc(r.Shares, self))+"/to", "must not be who pays the fee")
	case len(r.Tiers) > 0 && !(r.BasisPoints.IsZero() && r.FlatMinor == 0):
		p.invalid(path+"/tiers", "must not stand beside basis_points or flat; each tier has its own")
	case len(r.Tiers) == 0 && r.BasisPoints.IsZero() && r.FlatMinor == 0 && r.MinMinor == 0:
		p.fail(path+"/basis_points", tongma.FieldMissing, "", "is missing, and so are flat and tiers: the rule takes nothing")
	case r.MaxMinor > 0 && r.MinMinor > r.MaxMinor:
		p.invalid(path+"/min", "must not be more than max")
	default:
		if err := r.Check(); err != nil {
			p.invalid(path, "is no fee rule")
		}
	}
}

func (p *parser) role(n *yaml.Node, path string) Party {
	return PartyIssuer + Party(p.oneOf(n, path, feeRoles))
}

func (p *parser) shares(n *yaml.Node, path string) []Share {
	var all []Share
	p.list(n, path, MaxFeeLegs, func(item *yaml.Node, at string) {
		var s Share
		p.mapping(item, at, []field{
			{"to", true, func(n *yaml.Node, path string) { s.To = p.role(n, path) }},
			{"weight", true, func(n *yaml.Node, path string) { s.Weight = int64(p.number(n, path, 1, 1_000_000)) }},
		})
		all = append(all, s)
	})
	return all
}

func (p *parser) tiers(n *yaml.Node, path string, c tongma.Currency) []Tier {
	var all []Tier
	p.list(n, path, maxTiers, func(item *yaml.Node, at string) {
		var t Tier
		ok := false
		p.mapping(item, at, []field{
			{"above", true, func(n *yaml.Node, path string) { t.AboveMinor, ok = p.amount(n, path, c, 0, tongma.MaxMinor) }},
			{"basis_points", false, func(n *yaml.Node, path string) { t.BasisPoints = p.basisPoints(n, path) }},
			{"flat", false, func(n *yaml.Node, path string) { t.FlatMinor, _ = p.amount(n, path, c, 0, tongma.MaxMinor) }},
		})
		switch i := len(all); {
		case ok && i == 0 && t.AboveMinor != 0:
			p.invalid(at+"/above", "must be 0 for the first tier, so that every amount has one")
		case ok && i > 0 && t.AboveMinor <= all[i-1].AboveMinor:
			p.invalid(at+"/above", "must be more than that of the tier before it")
		}
		all = append(all, t)
	})
	return all
}

// basisPoints reads hundredths of a percent: 0 to 10000 with at most six decimals.
func (p *parser) basisPoints(n *yaml.Node, path string) decimal.Decimal {
	v, ok := p.decimal(n, path, 6)
	if ok && v.GreaterThan(decimal.NewFromInt(10_000)) {
		p.invalid(path, "must be at most 10000, which is the whole amount")
		return decimal.Decimal{}
	}
	return v
}

// decimal reads digits with a point, without sign or exponent.
func (p *parser) decimal(n *yaml.Node, path string, decimals int) (decimal.Decimal, bool) {
	s, ok := p.text(n, path, 32)
	if !ok {
		return decimal.Decimal{}, false
	}
	whole, rest, point := strings.Cut(s, ".")
	v, err := decimal.NewFromString(s)
	if err != nil || !allDigits(whole) || len(whole) > 12 || len(rest) > decimals || point && !allDigits(rest) {
		p.invalid(path, "must be a decimal with at most %d decimals, without sign or commas", decimals)
		return decimal.Decimal{}, false
	}
	return v, true
}

// linkFees sees to it that each rule's receivers have accounts, and sorts the sets
// by what they are for.
func (p *parser) linkFees(d *Directory) {
	if d.switchParty != "" && d.byParticipant[d.switchParty] == nil {
		p.fail("/switch_party", tongma.ParticipantUnknown, nearest(string(d.switchParty), keysOf(d.byParticipant)), "there is no such participant")
		return
	}
	if i := slices.IndexFunc(d.feeSets, (*FeeSet).namesSwitch); i >= 0 && d.switchParty == "" {
		p.fail("/switch_party", tongma.FieldMissing, "", "is missing, and a rule of %s names the switch", item("fees", i))
		return
	}
	keys := 0
	for i, set := range d.feeSets {
		path := item("fees", i)
		members, ok := p.feeSetFits(d, set, path)
		for j, s := range members {
			switch {
			case !ok:
			case s.Serves(set.Currency):
				keys += len(set.Operations)
				p.enterFees(d, set, s, path, keys)
			case !set.AllSchemes:
				p.invalid(item(path[1:]+"/schemes", j), "does not clear in %s", set.Currency)
			}
		}
		slices.Sort(set.Schemes)
	}
}

// feeSetFits returns the schemes that a set is for, and whether all is well with it
// so far.
func (p *parser) feeSetFits(d *Directory, set *FeeSet, path string) ([]*Scheme, bool) {
	before := len(p.problems)
	members := p.members(d, set.AllSchemes, set.Schemes, path+"/schemes")
	legs := 0
	for j := range set.Rules {
		legs += max(1, len(set.Rules[j].Shares))
	}
	if legs > MaxFeeLegs {
		p.invalid(path+"/rules", "make %d legs, shares counted one by one; at most %d are allowed", legs, MaxFeeLegs)
	}
	return members, len(p.problems) == before
}

func (p *parser) enterFees(d *Directory, set *FeeSet, s *Scheme, path string, keys int) {
	if keys > maxFeeKeys {
		p.invalid(path, "is for too many schemes: all sets together may be for %d", maxFeeKeys)
		return
	}
	if d.feesOf == nil {
		d.feesOf = make(map[feeKey][]*FeeSet)
	}
	for _, op := range set.Operations {
		key := feeKey{s.ID, op, set.Currency}
		older, same := slices.BinarySearchFunc(d.feesOf[key], set, func(a, b *FeeSet) int { return cmp.Compare(b.EffectiveFrom, a.EffectiveFrom) })
		if same {
			p.invalid(path+"/effective_from", "is that of an earlier set for %s of %s in %s", op, s.ID, set.Currency)
			return
		}
		d.feesOf[key] = slices.Insert(d.feesOf[key], older, set)
	}
	for i := range set.Rules {
		p.payees(d, &set.Rules[i], s, item(path[1:]+"/rules", i))
	}
}

// payees fails if a role that a rule names is played by someone who has no account
// in the rule's currency.
func (p *parser) payees(d *Directory, r *FeeRule, s *Scheme, path string) {
	for _, played := range [...]struct {
		role Party
		who  tongma.ParticipantID
	}{{PartyScheme, s.FeeParty}, {PartySwitch, d.switchParty}} {
		if !r.names(played.role) {
			continue
		}
		if _, ok := d.byParticipant[played.who].Caps[r.Currency]; !ok {
			p.invalid(path, "names %s, who has no account in %s: give it a cap", played.who, r.Currency)
		}
	}
}

// names tells whether a rule gives a role something to pay or to get.
func (r *FeeRule) names(role Party) bool {
	return r.From == role || r.To == role || slices.ContainsFunc(r.Shares, func(s Share) bool { return s.To == role })
}

func (set *FeeSet) namesSwitch() bool {
	return slices.ContainsFunc(set.Rules, func(r FeeRule) bool { return r.names(PartySwitch) })
}
