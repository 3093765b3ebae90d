package sim

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// feeSet is what payments cost in one currency: of all schemes, or of one in place
// of that.
type feeSet struct {
	scheme   tongma.SchemeID // empty: all
	currency tongma.Currency
	rules    []feeRule
}

// feeRule is one fee. It is written into the directory as text, and worked out here
// a second time, by other arithmetic.
type feeRule struct {
	kind, from, to string
	shares         [2]int64 // weights of scheme and switch, in place of to
	tenths, flat   int64    // of a basis point; minor units
	above          int64    // from this amount on, the next two hold; 0: they do not
	tenths2, flat2 int64
	least, most    int64
	back           bool // a refund returns it
}

func (m *market) drawFees(r *rand.Rand) (sets []feeSet) {
	for _, c := range currencies {
		if c == tongma.CNY || r.IntN(3) == 0 {
			sets = append(sets, feeSet{currency: c, rules: drawRules(r)})
		}
	}
	if r.IntN(3) == 0 { // newer than the one for all, and so in its place; it may be none
		s := feeSet{scheme: "alipay", currency: tongma.CNY}
		if r.IntN(3) > 0 {
			s.rules = drawRules(r)
		}
		sets = append(sets, s)
	}
	return sets
}

func drawRules(r *rand.Rand) (rules []feeRule) {
	for range 1 + r.IntN(3) {
		f := feeRule{kind: "interchange", from: "acquirer", to: "issuer", back: r.IntN(2) == 0}
		switch r.IntN(4) {
		case 0:
			f.from, f.to = f.to, f.from
		case 1:
			f.kind, f.to = "switch", "switch"
		case 2:
			f.kind, f.to, f.shares = "scheme", "", [2]int64{1 + r.Int64N(3), 1 + r.Int64N(3)}
		}
		switch r.IntN(4) {
		case 0:
			f.flat = 1 + r.Int64N(50)
		case 1:
			f.tenths, f.above, f.tenths2, f.flat2 = 125+r.Int64N(900), 1000+r.Int64N(2000), r.Int64N(400), r.Int64N(9)
		default:
			f.tenths, f.flat = 5*(1+r.Int64N(600)), r.Int64N(3)
		}
		if r.IntN(3) == 0 {
			f.least = 1 + r.Int64N(20)
		}
		if r.IntN(3) == 0 {
			f.most = f.least + 1 + r.Int64N(60)
		}
		rules = append(rules, f)
	}
	return rules
}

func minor(n int64) string { return fmt.Sprintf("%q", fmt.Sprintf("%d.%02d", n/100, n%100)) }

func points(tenths int64) string {
	return fmt.Sprintf("%q", fmt.Sprintf("%d.%d", tenths/10, tenths%10))
}

// write writes the set as the directory has it.
func (s *feeSet) write(b *strings.Builder, first bool) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format, args...) }
	if first {
		line("fees:\n")
	}
	who, day := "all", "01"
	if s.scheme != "" {
		who, day = "["+string(s.scheme)+"]", "02"
	}
	line("  - schemes: %s\n    currency: %s\n    effective_from: 1999-12-%sT00:00:00Z\n    rules:", who, s.currency.Code(), day)
	if len(s.rules) == 0 {
		line(" []")
	}
	line("\n")
	for _, f := range s.rules {
		line("      - {kind: %s, from: %s", f.kind, f.from)
		if f.to != "" {
			line(", to: %s", f.to)
		} else {
			line(", shares: [{to: scheme, weight: %d}, {to: switch, weight: %d}]", f.shares[0], f.shares[1])
		}
		if f.above > 0 {
			line(`, tiers: [{above: "0", basis_points: %s, flat: %s}, {above: %s, basis_points: %s, flat: %s}]`, points(f.tenths), minor(f.flat), minor(f.above), points(f.tenths2), minor(f.flat2))
		} else {
			line(", basis_points: %s, flat: %s", points(f.tenths), minor(f.flat))
		}
		if f.least > 0 {
			line(", min: %s", minor(f.least))
		}
		if f.most > 0 {
			line(", max: %s", minor(f.most))
		}
		if f.back {
			line(", on_refund: return")
		}
		line("}\n")
	}
}

// nearest is n/d to the nearest whole number, the even one of two.
func nearest(n, d int64) int64 {
	q, r := new(big.Int).QuoRem(big.NewInt(n), big.NewInt(d), new(big.Int))
	switch twice := r.Lsh(r, 1).Cmp(big.NewInt(d)); {
	case twice > 0, twice == 0 && q.Bit(0) == 1:
		return q.Int64() + 1
	}
	return q.Int64()
}

// fee is what a rule takes of an amount. count hears what played a part in it.
func (f *feeRule) fee(amount int64, count func(Feature)) int64 {
	tenths, flat := f.tenths, f.flat
	if f.above > 0 && amount >= f.above {
		tenths, flat = f.tenths2, f.flat2
		count(FeeTier)
	}
	out := nearest(amount*tenths+flat*100_000, 100_000)
	if out < f.least {
		out = f.least
		count(FeeLeast)
	}
	if f.most > 0 && out > f.most {
		out = f.most
		count(FeeMost)
	}
	return out
}

// legs are the fees of a payment by a market's rules.
func (m *market) legs(first *clearing.Entry, amount int64, count func(Feature)) (legs []clearing.Leg) {
	var set *feeSet
	for i := range m.sets {
		if s := &m.sets[i]; s.currency == first.Amount.Currency && (s.scheme == "" || s.scheme == first.Scheme) {
			set = s // the later one in the list is the newer one
		}
	}
	if set == nil {
		return nil
	}
	scheme := walX
	switch first.Scheme {
	case "wechat":
		scheme = feeW
	case "north":
		scheme = acqA
	case "south":
		scheme = subS
	}
	role := map[string]tongma.ParticipantID{"issuer": first.Debtor, "acquirer": first.Creditor, "scheme": scheme, "switch": house}
	for i := range set.rules {
		f := &set.rules[i]
		add := func(to tongma.ParticipantID, minor int64) {
			if from := role[f.from]; minor > 0 && from != to {
				l := clearing.Leg{Kind: map[string]schemes.FeeKind{"interchange": schemes.FeeInterchange, "scheme": schemes.FeeScheme, "switch": schemes.FeeSwitch}[f.kind],
					From: from, To: to, Amount: tongma.Money{Minor: minor, Currency: first.Amount.Currency}}
				if f.back {
					l.OnRefund = schemes.FeeReturn
				}
				legs = append(legs, l)
			}
		}
		all := f.fee(amount, count)
		if f.to != "" {
			add(role[f.to], all)
			continue
		}
		count(FeeSplit)
		sum := f.shares[0] + f.shares[1]
		one, rest := all*f.shares[0]/sum, all*f.shares[0]%sum
		if 2*rest >= sum { // the one who lost more by the cut gets what is left; the first of equals
			one++
		}
		add(scheme, one)
		add(house, all-one)
	}
	return legs
}

// charged holds the fees of a posting against the rules of the versions that may
// have been in force between the hold and now.
func (o *oracle) charged(e *clearing.Entry, p *record) {
	if p.first.Op == tongma.OpRefund {
		o.returned(e, p)
		return
	}
	seen := [featureCount]bool{}
	for v := max(p.first.Directory, 1); v <= uint64(len(o.h.markets)); v++ {
		got := [featureCount]bool{}
		if slices.Equal(o.h.markets[v-1].legs(&p.first, p.first.Amount.Minor, func(f Feature) { got[f] = true }), e.Legs) {
			p.fees, seen = e.Legs, got
			o.note(FeeTaken, len(e.Legs) > 0)
			for f, did := range seen {
				o.note(Feature(f), did)
			}
			return
		}
	}
	o.fail("fees", "entry %d takes %v of payment %d, which no version of the rules asks for", e.Number, e.Legs, name(e.Payment))
}

// returned holds the fees that a refund gives back against what was taken.
func (o *oracle) returned(e *clearing.Entry, p *record) {
	if of := o.payments[p.first.Original]; of != nil {
		o.feesBack(e, of, e.Amount.Minor)
	}
}

// feesBack holds the fees that go back with an amount: of each that does, what is due
// for all that went back, less what went back before.
func (o *oracle) feesBack(e *clearing.Entry, of *record, amount int64) {
	before := of.refunded + of.feesBack
	var due []clearing.Leg
	for _, l := range of.fees {
		if l.OnRefund != schemes.FeeReturn {
			o.note(FeeKept, true)
			continue
		}
		back := nearest(l.Amount.Minor*(before+amount), of.given()) - nearest(l.Amount.Minor*before, of.given())
		if back > 0 {
			o.note(FeeReturned, true)
			l.From, l.To, l.Amount.Minor = l.To, l.From, back
			due = append(due, l)
		}
	}
	if !slices.Equal(due, e.Legs) {
		o.fail("fees", "entry %d gives back %v of the fees of payment %d, and should %v", e.Number, e.Legs, name(of.first.Payment), due)
	}
}

// turned holds the fees of a payment that is turned back against what was taken:
// all of it goes back.
func (o *oracle) turned(e *clearing.Entry, p *record) {
	due := slices.Clone(p.fees)
	for i := range due {
		due[i].From, due[i].To = due[i].To, due[i].From
	}
	if !slices.Equal(due, e.Legs) {
		o.fail("fees", "entry %d gives back %v of the fees of payment %d, and should %v", e.Number, e.Legs, name(e.Payment), due)
	}
}
