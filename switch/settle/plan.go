package settle

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// StepKind is one layer of what happens when a participant is short. The numbers
// follow the order.
type StepKind uint8

const (
	StepSuspend    StepKind = iota + 1 // the short one's new debits are blocked; its credits go on
	StepPrefunding                     // it pays out of its own prefunding
	StepGuarantee                      // the fund pays, and is owed by the short one in the next window
	StepShare                          // a survivor pays its part of the loss, and is owed likewise
	StepRecast                         // what cannot settle rolls over to the next window
	StepWait                           // nothing more is allowed by the rules: the window stays short until people act
)

var stepNames = [...]string{"", "suspend", "prefunding", "guarantee", "share", "recast", "wait", ""}

// String returns "suspend", "prefunding", "guarantee", "share", "recast" or "wait".
func (k StepKind) String() string { return stepNames[k&7] }

// Step is one thing that would be done for a leg that is short.
type Step struct {
	Kind     StepKind
	Short    tongma.ParticipantID // who is short
	Creditor tongma.ParticipantID // of the leg; empty: the settlement account
	Payer    tongma.ParticipantID // who pays instead
	Amount   tongma.Money         // what is paid; of a recast or a wait, what is still missing
}

// Account is one participant's money in one currency.
type Account struct {
	Participant tongma.ParticipantID
	Currency    tongma.Currency
}

// Funds is what there is to cover a window with, beside the rules.
type Funds struct {
	Prefunded map[Account]int64
	Suspended map[tongma.ParticipantID]bool // they share no losses
	Paid      map[Account]int64             // by the fund and survivors, for windows that are short: it counts against their caps
	Refused   map[Account]bool              // the agent refused to take money from them for this window; their own prefunding too
}

// FundsOf reads off a Book what there is to cover a window with.
func FundsOf(b *clearing.Book, s *clearing.Sheet) Funds {
	f := fundsOf(b)
	f.less(b, s.Window)
	f.Paid, f.Refused = paidOf(b, s), map[Account]bool{}
	for _, w := range b.Refusals(s.Window) {
		if w.Kind == clearing.KindCoverRefused {
			f.Refused[Account{w.Payer, w.Amount.Currency}] = true
		}
	}
	return f
}

func fundsOf(b *clearing.Book) Funds {
	f := Funds{Prefunded: map[Account]int64{}, Suspended: map[tongma.ParticipantID]bool{}}
	for _, p := range b.Positions() {
		f.Prefunded[Account{p.Participant, p.Currency}] = p.Prefunded
		if p.Suspended {
			f.Suspended[p.Participant] = true
		}
	}
	return f
}

// less takes away the prefunding that was asked for in other windows, of which the agent
// has not said whether it took it.
func (f *Funds) less(b *clearing.Book, window tongma.WindowID) {
	open, _ := b.Unsettled()
	for _, other := range open {
		if other.Window == window {
			continue
		}
		for _, a := range b.Asked(other.Window) {
			if a.Payer == a.Debtor {
				f.Prefunded[Account{a.Payer, a.Amount.Currency}] -= a.Amount.Minor
			}
		}
	}
}

// paidOf sums up what was paid for others. Debts from covers that stand in later
// windows of the model count, whichever window they were for: so the caps of the
// rules hold for all windows that are short at once. So does what somebody was asked
// for in another window and has not answered.
func paidOf(b *clearing.Book, s *clearing.Sheet) map[Account]int64 {
	paid := map[Account]int64{}
	b.Covers(s.Model, s.Window, func(creditor tongma.ParticipantID, owed tongma.Money) {
		paid[Account{creditor, owed.Currency}] += owed.Minor
	})
	open, _ := b.Unsettled()
	for _, other := range open {
		if other.Model != s.Model || other.Window == s.Window || other.State != clearing.WindowInstructed {
			continue
		}
		for _, a := range b.Asked(other.Window) {
			if a.Payer != a.Debtor {
				paid[Account{a.Payer, a.Amount.Currency}] += a.Amount.Minor
			}
		}
	}
	return paid
}

// short is a leg that somebody cannot pay, from the side that should.
type short struct {
	debtor, creditor tongma.ParticipantID
	currency         tongma.Currency
	due, settled     int64
}

// shorts returns the legs that are short, in the order of the sheet. A leg that is
// due back to whoever paid it is nobody's failure.
func shorts(s *clearing.Sheet) (out []short) {
	for _, l := range s.Legs {
		if l.Short && l.Due > 0 && l.Debtor != "" {
			out = append(out, short{l.Debtor, l.Creditor, l.Currency, l.Due, l.Settled})
		}
	}
	return out
}

// Fail returns the sheet as it would be if the agent refused the debits of the given
// participants: for plans made beforehand.
func Fail(s clearing.Sheet, who ...tongma.ParticipantID) clearing.Sheet {
	s.Legs = slices.Clone(s.Legs)
	for i := range s.Legs {
		if l := &s.Legs[i]; l.Due > 0 && slices.Contains(who, l.Debtor) {
			l.Short = true
		}
	}
	return s
}

// Collected returns the sheet as it would be once everybody has paid who is not
// short: for plans made beforehand.
func Collected(s clearing.Sheet) clearing.Sheet {
	s.Legs = slices.Clone(s.Legs)
	for i := range s.Legs {
		if l := &s.Legs[i]; l.Due > 0 && l.Debtor != "" && !l.Short {
			l.Settled, l.Due = l.Net, 0
		}
	}
	return s
}

// Plan says what the rules would do for the legs of a sheet that are short, layer by
// layer, if everybody pays who is asked. It is pure: the same figures give the same steps.
// rules gives those of a currency; nil, or a nil answer, stands for the zero
// DefaultRules. items are the payments that the window holds, in the order of the
// journal. With them, nobody is asked for more than the payments need that are not
// deferred: payments are whole, and what others gave too much would go to whoever is
// short. Without them the plan is what there is at most.
func Plan(s clearing.Sheet, f Funds, rules func(tongma.Currency) *schemes.DefaultRules, items []clearing.WindowItem) []Step {
	if rules == nil {
		rules = func(tongma.Currency) *schemes.DefaultRules { return nil }
	}
	failed := shorts(&s)
	out, parts := plan(failed, f, rules, nil)
	if items == nil || !slices.ContainsFunc(out, func(x Step) bool { return x.Kind == StepRecast }) {
		return out
	}
	// What one does not need may help another, whose payments then need more or less:
	// a few rounds, in which each one's limit only falls.
	need := make([]int64, len(failed))
	for i := range need {
		need[i] = math.MaxInt64
	}
	for range 4 {
		changed := false
		for i, l := range failed {
			if over := tooMuch(s, failed, parts, l, items); over > 0 && parts[i] > 0 {
				need[i], changed = max(0, parts[i]-over), true
			}
		}
		if !changed {
			break
		}
		out, parts = plan(failed, f, rules, need)
	}
	return out
}

// plan goes through the layers for each leg, as far as need says; nil: as far as
// they go. parts is what they give for each.
func plan(failed []short, f Funds, rules func(tongma.Currency) *schemes.DefaultRules, need []int64) (out []Step, parts []int64) {
	used := funds{f, map[Account]int64{}, map[Account]int64{}, map[tongma.ParticipantID]bool{}}
	for _, l := range failed {
		used.short[l.debtor] = true
	}
	for i, l := range failed {
		r := rules(l.currency)
		if r == nil {
			r = &schemes.DefaultRules{Currency: l.currency}
		}
		most := l.due
		if need != nil {
			most = min(most, need[i])
		}
		steps, part := used.cover(l, r, most)
		out, parts = append(out, steps...), append(parts, part)
	}
	slices.SortStableFunc(out, func(x, y Step) int { return cmp.Compare(x.Kind, y.Kind) })
	return out, parts
}

// funds is what is left of the funds while a plan goes on.
type funds struct {
	Funds
	prefunding map[Account]int64 // used of it
	paid       map[Account]int64
	short      map[tongma.ParticipantID]bool
}

// cover goes through the layers for one leg, up to most of what is due.
func (f *funds) cover(l short, r *schemes.DefaultRules, most int64) (out []Step, part int64) {
	left := most
	pay := func(k StepKind, payer tongma.ParticipantID, minor int64) {
		if minor > 0 {
			out = append(out, Step{k, l.debtor, l.creditor, payer, tongma.Money{Minor: minor, Currency: l.currency}})
			left -= minor
		}
	}
	step := func(k StepKind, minor int64) Step {
		return Step{Kind: k, Short: l.debtor, Creditor: l.creditor, Amount: tongma.Money{Minor: minor, Currency: l.currency}}
	}
	if !f.Suspended[l.debtor] {
		out = append(out, step(StepSuspend, l.due))
	}
	own := Account{l.debtor, l.currency}
	if !f.Refused[own] {
		minor := max(0, min(left, f.Prefunded[own]-f.prefunding[own]))
		f.prefunding[own] += minor
		pay(StepPrefunding, l.debtor, minor)
	}
	if r.Fund != "" && r.Fund != l.debtor && r.Fund != l.creditor {
		k := Account{r.Fund, l.currency}
		pay(StepGuarantee, r.Fund, f.take(k, min(left, f.room(k, r.AmountMinor))))
	}
	for _, s := range f.share(left, l, r.LossSharing) {
		pay(StepShare, s.Participant, f.take(Account{s.Participant, l.currency}, s.Weight))
	}
	part = most - left
	switch missing := l.due - part; {
	case missing > 0 && r.Recast:
		out = append(out, step(StepRecast, missing))
	case missing > 0:
		out = append(out, step(StepWait, missing))
	}
	return out, part
}

// room is what somebody may still be asked for under a cap.
func (f *funds) room(k Account, most int64) int64 {
	if f.Refused[k] {
		return 0
	}
	return max(0, most-f.Paid[k]-f.paid[k])
}

func (f *funds) take(k Account, minor int64) int64 {
	f.paid[k] += minor
	return minor
}

// share splits a loss among the survivors by their weights, each up to its cap; what
// some cannot take the others do. What they have paid already is part of the loss, so
// that the split stays the same while they pay one after the other. Weight of the
// result is what each is to pay now.
func (f *funds) share(left int64, l short, key []schemes.LossShare) (out []schemes.LossShare) {
	total, rooms, got := left, make([]int64, len(key)), make([]int64, len(key))
	paid := func(s schemes.LossShare) int64 {
		k := Account{s.Participant, l.currency}
		return f.Paid[k] + f.paid[k]
	}
	for i, s := range key {
		total += paid(s)
		if rooms[i] = s.CapMinor; f.Refused[Account{s.Participant, l.currency}] || f.short[s.Participant] || f.Suspended[s.Participant] || s.Participant == l.creditor {
			rooms[i] = 0
		}
		rooms[i] = max(rooms[i], paid(s))
	}
	for rest := total; rest > 0; {
		weights := make([]int64, len(key))
		for i, s := range key {
			if got[i] < rooms[i] {
				weights[i] = s.Weight
			}
		}
		amounts := split(rest, weights)
		if amounts == nil {
			break // everybody is at the cap
		}
		for i, minor := range amounts {
			minor = min(minor, rooms[i]-got[i])
			got[i] += minor
			rest -= minor
		}
	}
	for i, s := range key {
		s.Weight = min(left, max(0, got[i]-paid(s)))
		left -= s.Weight
		out = append(out, s)
	}
	return out
}

// split divides an amount by weights: each part is rounded down, and what is left
// goes, one minor unit each, to those with the largest remainders, the first among
// equals. nil if no weight is more than zero. Weights are at most 1,000,000.
func split(total int64, weights []int64) []int64 {
	sum := int64(0)
	for _, w := range weights {
		sum += w
	}
	if sum <= 0 {
		return nil
	}
	out, rest, left := make([]int64, len(weights)), make([]uint64, len(weights)), total
	order := make([]int, len(weights))
	for i, w := range weights {
		hi, lo := bits.Mul64(uint64(total), uint64(w))
		quotient, remainder := bits.Div64(hi, lo, uint64(sum))
		out[i], rest[i], order[i] = int64(quotient), remainder, i
		left -= out[i]
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(rest[y], rest[x]) })
	for _, i := range order[:left] {
		out[i]++
	}
	return out
}
