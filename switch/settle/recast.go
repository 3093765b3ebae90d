package settle

import (
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/optimise"
	"github.com/tongma/tongma/schemes/calendar"
)

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

// finish goes on with a recast that was begun. What was deferred already is looked at
// as if it were still there: so the same payments are left out, whichever went first.
func (r *run) finish() error {
	var items []clearing.WindowItem
	gone := map[tongma.PaymentID]bool{}
	var currencies []tongma.Currency
	if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		b.WindowPayments(r.id, func(it clearing.WindowItem) bool {
			if it.DeferredTo != 0 {
				gone[it.Payment] = true
				if !slices.Contains(currencies, it.Amount.Currency) {
					currencies = append(currencies, it.Amount.Currency)
				}
			}
			items = append(items, it)
			return true
		})
	}); err != nil {
		return err
	}
	for _, c := range currencies {
		left, err := LeftOut(r.sheet, c, items)
		if err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(id tongma.PaymentID) bool { return gone[id] })
		if err := r.deferAll(left, c); err != nil {
			return err
		}
	}
	return r.redraw()
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
func (r *run) deferAll(left []tongma.PaymentID, c tongma.Currency) error {
	sum, count := tongma.Money{Currency: c}, 0
	for _, id := range left {
		res, err := r.opts.Ledger.Submit(r.ctx, clearing.Entry{Kind: clearing.KindDefer, Window: r.id, Payment: id})
		switch {
		case err != nil:
			return err
		case res.Reason == tongma.StateConflict && r.sheet.Method == calendar.Gross:
			continue
		case res.Reason != tongma.NoReason:
			return &tongma.Error{Op: "settle.defer", Reason: res.Reason, Field: r.id.String()}
		}
		count++
		sum.Minor += res.Entry.Amount.Minor
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
func LeftOut(s clearing.Sheet, c tongma.Currency, items []clearing.WindowItem) ([]tongma.PaymentID, error) {
	if !pairs(s) {
		left, _, err := leftOut(c, balancesOf(s, c), items)
		return left, err
	}
	var out []tongma.PaymentID
	for _, p := range shortPairs(s, c, items) {
		left, _, err := leftOut(c, []optimise.Balance{{Participant: p[0], Minor: settledOf(s, c, p[0], p[1])}}, between(s, p[0], p[1], items))
		if err != nil {
			return nil, err
		}
		for _, id := range left {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out, nil
}

type pair [2]tongma.ParticipantID // who pays, and who is paid

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
	for _, it := range items {
		if it.DeferredTo == 0 || it.Amount.Currency != c || it.Debtor == it.Creditor {
			continue
		}
		net := int64(0)
		for _, b := range between(s, it.Debtor, it.Creditor, items) {
			if b.Debtor == it.Debtor && b.Amount.Currency == c {
				net += b.Amount.Minor
			} else if b.Amount.Currency == c {
				net -= b.Amount.Minor
			}
		}
		if net >= 0 {
			add(pair{it.Debtor, it.Creditor})
		} else {
			add(pair{it.Creditor, it.Debtor})
		}
	}
	return out
}

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

// between returns the payments that the leg from one to another is made of.
func between(s clearing.Sheet, debtor, creditor tongma.ParticipantID, items []clearing.WindowItem) (out []clearing.WindowItem) {
	for _, it := range items {
		there := it.Debtor == debtor && it.Creditor == creditor
		back := it.Debtor == creditor && it.Creditor == debtor
		if there || (back && s.Method != calendar.Gross) {
			out = append(out, it)
		}
	}
	return out
}

// tooMuch is how much of what the layers would give for a leg is not needed, since
// the payments that are deferred are whole. parts is what they would give for each
// leg that is short. Without an answer nothing is too much.
func tooMuch(s clearing.Sheet, failed []short, parts []int64, l short, items []clearing.WindowItem) int64 {
	s = Collected(s)
	var balances []optimise.Balance
	if pairs(s) {
		items = between(s, l.debtor, l.creditor, items)
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
	_, after, err := leftOut(l.currency, balances, items)
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
// back in the same window is one with its turning back. after is what would be left in
// everybody's hands.
func leftOut(c tongma.Currency, balances []optimise.Balance, items []clearing.WindowItem) (left []tongma.PaymentID, after map[tongma.ParticipantID]int64, err error) {
	q := optimise.Bundles{Currency: c, Balances: balances}
	at := map[tongma.PaymentID]int{}
	var ids []tongma.PaymentID
	for _, it := range items {
		if it.Amount.Currency != c || it.Debtor == it.Creditor || it.Amount.Minor <= 0 {
			continue
		}
		flows := []optimise.Flow{{Debtor: it.Debtor, Creditor: it.Creditor, Minor: it.Amount.Minor}}
		for _, f := range it.Legs {
			if f.From != f.To && f.Amount.Minor > 0 {
				flows = append(flows, optimise.Flow{Debtor: f.From, Creditor: f.To, Minor: f.Amount.Minor})
			}
		}
		i, known := at[it.Payment]
		switch {
		case it.Kind == clearing.KindCover: // a debt from an earlier default cannot wait
			q.Items, ids = append(q.Items, optimise.Bundle{Flows: flows}), append(ids, tongma.PaymentID{})
		case known:
			q.Items[i].Flows = append(q.Items[i].Flows, flows...)
		default:
			at[it.Payment] = len(q.Items)
			q.Items, ids = append(q.Items, optimise.Bundle{Payer: it.Debtor, Flows: flows}), append(ids, it.Payment)
		}
	}
	r, err := optimise.LeaveOut(q)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range r.Left {
		left = append(left, ids[i])
	}
	after = map[tongma.ParticipantID]int64{}
	for _, b := range r.Balances {
		after[b.Participant] = b.Minor
	}
	return left, after, nil
}
