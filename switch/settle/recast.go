package settle

import (
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/optimise"
	"github.com/tongma/tongma/schemes/calendar"
)

// Deferral is one thing that rolls over: a payment, a chargeback, or what is owed for a
// cover.
type Deferral struct {
	Payment tongma.PaymentID // of a chargeback, the dispute; zero for a cover
	Cover   string           // the instruction's id
}

// recast defers what cannot settle in a currency, and draws up the sheet anew. The
// payments are deferred in the order in which they came, so that each payer's order
// goes on in the next window. Stopped in between, finish goes on with the same ones.
func (r *run) recast(c tongma.Currency) error {
	items, err := r.payments()
	if err != nil {
		return err
	}
	left, err := LeftOut(r.sheet, c, items)
	if err != nil {
		return err
	}
	if err := r.deferAll(left, c); err != nil {
		return err
	}
	return r.redraw()
}

// finish goes on with a recast that was begun, for the currency that it was begun for:
// another that is short has rules of its own, which may find the money yet. What was
// deferred by it is looked at as if it were still there: so the same payments are left
// out, whichever went first.
func (r *run) finish() error {
	var items []clearing.WindowItem
	gone := map[Deferral]bool{}
	var currencies []tongma.Currency
	if err := r.eachPayment(func(it *clearing.WindowItem) {
		if it.DeferredTo != 0 && !it.JustGone {
			return // by a recast that was finished
		}
		if it.JustGone {
			gone[deferralOf(it)] = true
			if !slices.Contains(currencies, it.Amount.Currency) {
				currencies = append(currencies, it.Amount.Currency)
			}
		}
		items = append(items, *it)
	}); err != nil {
		return err
	}
	if r.sheet.RecastOf != 0 { // older journals do not say it
		currencies = []tongma.Currency{r.sheet.RecastOf}
	}
	for _, c := range currencies {
		left, err := LeftOut(r.sheet, c, items)
		if err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(d Deferral) bool { return gone[d] })
		if err := r.deferAll(left, c); err != nil {
			return err
		}
	}
	return r.redraw()
}

func deferralOf(it *clearing.WindowItem) Deferral {
	if it.Kind == clearing.KindCover {
		return Deferral{Cover: it.Ref}
	}
	return Deferral{Payment: it.Payment}
}

// redraw puts the sheet in force that the deferred payments leave.
func (r *run) redraw() error {
	if !r.sheet.Recasting {
		return nil
	}
	if err := r.book(clearing.Entry{Kind: clearing.KindRecast, Window: r.id}); err != nil {
		return err
	}
	clear(r.retried) // other legs, or the same with other figures
	r.tell(Event{Kind: "recast"})
	return nil
}

// deferAll defers payments. Of a gross window one that is paid for in part cannot be:
// its leg stays short then.
func (r *run) deferAll(left []Deferral, c tongma.Currency) error {
	sum, count := tongma.Money{Currency: c}, 0
	for _, d := range left {
		e := clearing.Entry{Kind: clearing.KindDefer, Window: r.id, Payment: d.Payment, SchemeRef: c.Code()}
		if d.Cover != "" {
			e.SchemeRef = d.Cover
		}
		res, err := r.opts.Ledger.Submit(r.ctx, e)
		switch {
		case err != nil:
			return err
		case res.Reason == tongma.StateConflict && r.sheet.Method == calendar.Gross:
			continue
		case res.Reason != tongma.NoReason:
			return &tongma.Error{Op: "settle.defer", Reason: res.Reason, Field: r.id.String()}
		}
		count++
		if m := res.Entry.Amount; m.Currency == c {
			sum.Minor += m.Minor
		} else {
			sum.Minor += res.Entry.Target.Minor
		}
	}
	if count == 0 {
		r.stuck[c] = true
		return nil
	}
	r.tell(Event{Kind: "deferred", Money: sum, Count: count})
	r.items = nil
	return r.look()
}

// LeftOut returns the payments of a window that are deferred so that it settles with
// the money that came in, in the order in which they came. Of a multilateral window it
// is the rule of Bech and Soramäki over all of its payments in the currency: each
// payer's own order is kept and only its last ones go. Where legs run between two
// participants, only money between these two helps, so each short leg is looked at by
// itself. What counts is what the legs have brought in (Settled): see Collected for
// plans made beforehand. Items that were deferred already are looked at as if they
// were still there.
func LeftOut(s clearing.Sheet, c tongma.Currency, items []clearing.WindowItem) ([]Deferral, error) {
	if !pairs(s) {
		left, _, err := leftOut(c, balancesOf(s, c), items, anyFlow)
		return left, err
	}
	var out []Deferral
	seen := map[Deferral]bool{}
	for _, p := range shortPairs(s, c, items) {
		left, _, err := leftOut(c, []optimise.Balance{{Participant: p[0], Minor: settledOf(s, c, p[0], p[1])}}, items, p.leg(s))
		if err != nil {
			return nil, err
		}
		for _, d := range left {
			if !seen[d] {
				out, seen[d] = append(out, d), true
			}
		}
	}
	return out, nil
}

type pair [2]tongma.ParticipantID // who pays, and who is paid

// moveIn is what an item moves in one currency between those who settle for its
// parties, besides fees: of two currencies, the side of its dealer that is in this one.
func moveIn(it *clearing.WindowItem, c tongma.Currency) (p pair, minor int64) {
	switch {
	case it.Dealer == "" && it.Amount.Currency == c:
		return pair{it.Payer, it.Payee}, it.Amount.Minor
	case it.Dealer != "" && it.Amount.Currency == c:
		return pair{it.Payer, it.Through}, it.Amount.Minor
	case it.Dealer != "" && it.Target.Currency == c:
		return pair{it.Through, it.Payee}, it.Target.Minor
	}
	return p, 0
}

// flowsIn lists all that it moves in one currency, with its fees; what one pays to
// itself moves nothing.
func flowsIn(it *clearing.WindowItem, c tongma.Currency) (out []optimise.Flow) {
	if p, minor := moveIn(it, c); minor > 0 && p[0] != p[1] {
		out = append(out, optimise.Flow{Debtor: p[0], Creditor: p[1], Minor: minor})
	}
	for _, f := range it.Legs {
		if f.From != f.To && f.Amount.Minor > 0 && f.Amount.Currency == c {
			out = append(out, optimise.Flow{Debtor: f.From, Creditor: f.To, Minor: f.Amount.Minor})
		}
	}
	return out
}

// shortPairs lists between whom a payment has to wait: the legs that are short and, of
// a recast that was begun, those that payments were taken out of.
func shortPairs(s clearing.Sheet, c tongma.Currency, items []clearing.WindowItem) (out []pair) {
	add := func(p pair) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, l := range s.Legs {
		if l.Currency == c && l.Short && l.Due > 0 {
			add(pair{l.Debtor, l.Creditor})
		}
	}
	looked := map[pair]bool{}
	for i := range items {
		p, minor := moveIn(&items[i], c)
		if items[i].DeferredTo == 0 || minor == 0 || p[0] == p[1] || looked[p] {
			continue
		}
		looked[p] = true
		net := int64(0)
		for j := range items {
			for _, f := range flowsIn(&items[j], c) {
				if p.leg(s)(f) && f.Debtor == p[0] {
					net += f.Minor
				} else if p.leg(s)(f) {
					net -= f.Minor
				}
			}
		}
		if net >= 0 {
			add(p)
		} else {
			add(pair{p[1], p[0]})
		}
	}
	return out
}

// leg tells of a flow whether the leg between the two is made of it.
func (p pair) leg(s clearing.Sheet) func(optimise.Flow) bool {
	return func(f optimise.Flow) bool {
		return (f.Debtor == p[0] && f.Creditor == p[1]) || (f.Debtor == p[1] && f.Creditor == p[0] && s.Method != calendar.Gross)
	}
}

func anyFlow(optimise.Flow) bool { return true }

// settledOf is what was brought in between two participants, from one to the other.
func settledOf(s clearing.Sheet, c tongma.Currency, from, to tongma.ParticipantID) int64 {
	sum := int64(0)
	for _, l := range s.Legs {
		switch {
		case l.Currency != c:
		case l.Debtor == from && l.Creditor == to:
			sum += l.Settled
		case l.Debtor == to && l.Creditor == from && s.Method != calendar.Gross:
			sum -= l.Settled
		}
	}
	return max(0, sum)
}

// pairs tells whether legs run between two participants.
func pairs(s clearing.Sheet) bool {
	return s.Method == calendar.Bilateral || s.Method == calendar.Gross
}

// tooMuch is how much of what the layers would give for a leg is not needed, since
// the payments that are deferred are whole. parts is what they would give for each
// leg that is short. Without an answer nothing is too much.
func tooMuch(s clearing.Sheet, failed []short, parts []int64, l short, items []clearing.WindowItem) int64 {
	s = Collected(s)
	var balances []optimise.Balance
	counts := anyFlow
	if pairs(s) {
		counts = pair{l.debtor, l.creditor}.leg(s)
	} else {
		balances = balancesOf(s, l.currency)
	}
	for i, f := range failed {
		if f.currency != l.currency || (pairs(s) && f != l) {
			continue
		}
		at := slices.IndexFunc(balances, func(b optimise.Balance) bool { return b.Participant == f.debtor })
		if at < 0 {
			at, balances = len(balances), append(balances, optimise.Balance{Participant: f.debtor})
		}
		if pairs(s) {
			balances[at].Minor += max(0, f.settled)
		}
		balances[at].Minor += parts[i]
	}
	_, after, err := leftOut(l.currency, balances, items, counts)
	if err != nil {
		return 0
	}
	return max(0, after[l.debtor])
}

// balancesOf is what each participant has paid in: it has to do for what it is to owe.
func balancesOf(s clearing.Sheet, c tongma.Currency) (out []optimise.Balance) {
	for _, l := range s.Legs {
		who, in := l.Debtor, l.Settled
		if who == "" {
			who, in = l.Creditor, -in
		}
		if l.Currency == c && in > 0 {
			out = append(out, optimise.Balance{Participant: who, Minor: in})
		}
	}
	return out
}

// leftOut runs the rule over payments with their fees. A payment that was turned
// back in the same window is one with its turning back. What is owed for a cover goes
// in front of its payer's payments, so that it is the last to wait. after is what would
// be left in everybody's hands. counts tells which flows are looked at. Nothing is left
// out if somebody could not even pay what other shards have of it.
func leftOut(c tongma.Currency, balances []optimise.Balance, items []clearing.WindowItem, counts func(optimise.Flow) bool) (left []Deferral, after map[tongma.ParticipantID]int64, err error) {
	q := optimise.Bundles{Currency: c, Balances: balances}
	at := map[Deferral]int{}
	var ids []Deferral
	gathered := false
	put := func(it *clearing.WindowItem) {
		flows := slices.DeleteFunc(flowsIn(it, c), func(f optimise.Flow) bool { return !counts(f) })
		if len(flows) == 0 {
			return
		}
		if it.Kind == clearing.KindGather { // other shards' payments are in nobody's order here, and stay
			q.Items, ids, gathered = append(q.Items, optimise.Bundle{Flows: flows}), append(ids, Deferral{}), true
			return
		}
		id := deferralOf(it)
		if i, known := at[id]; known {
			q.Items[i].Flows = append(q.Items[i].Flows, flows...)
			return
		}
		at[id] = len(q.Items)
		q.Items, ids = append(q.Items, optimise.Bundle{Payer: flows[0].Debtor, Flows: flows}), append(ids, id)
	}
	for _, covers := range []bool{true, false} {
		for i := range items {
			if (items[i].Kind == clearing.KindCover) == covers {
				put(&items[i])
			}
		}
	}
	r, err := optimise.LeaveOut(q)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range r.Left {
		if gathered && len(r.Short) > 0 {
			break
		}
		left = append(left, ids[i])
	}
	after = map[tongma.ParticipantID]int64{}
	for _, b := range r.Balances {
		after[b.Participant] = b.Minor
	}
	return left, after, nil
}
