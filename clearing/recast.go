package clearing

import (
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes/calendar"
)

// proposeDefer decides on moving a posted payment out of a window that cannot
// settle, into the open window of its model: the posting, its fees, and what was
// turned back of it in the same window. Positions stay; who owes whom when changes.
// The reasons, in their order:
//
//	PaymentUnknown, WindowUnknown; StateConflict (not instructed); a payment that has left the window: Exists; StateConflict
//	(never in it), NotShort (nobody is, in its currency), StateConflict (of a gross window: paid already), PositionOverflow
func (b *Book) proposeDefer(e *Entry) Verdict {
	i, ok := b.find(e.Payment)
	if !ok {
		return Verdict{Reason: tongma.PaymentUnknown}
	}
	p, w := &b.payments[i], b.window(e.Window)
	v := Verdict{Payment: b.view(p)}
	switch {
	case w == nil:
		v.Reason = tongma.WindowUnknown
	case w.state != WindowInstructed:
		v.Reason = tongma.StateConflict
	case !w.has(p):
		v.Exists = slices.ContainsFunc(w.items, func(it item) bool { return it.payment&itemPayment == i })
		if !v.Exists {
			v.Reason = tongma.StateConflict
		}
	case !w.shortOf(p.currency) && !w.recasting:
		v.Reason = tongma.NotShort
	case w.method == calendar.Gross && b.paidFor(w, p):
		v.Reason = tongma.StateConflict
	case b.tooMuch(b.openOf(w.model), p.currency, 2*b.weight(p), mostPosted):
		v.Reason = tongma.PositionOverflow
	default:
		v.Write = true
	}
	if v.Write {
		b.completeDefer(e, w, p)
		v.Payment.Window = e.AuthWindow
	}
	return v
}

// completeDefer repeats in the entry what the payment is, and where it goes.
func (b *Book) completeDefer(e *Entry, w *window, p *payment) {
	e.Op, e.Original, e.AuthWindow = p.op, p.original, b.openOf(w.model).id
	e.Asker, e.Debtor, e.Creditor = tongma.ParticipantID(b.names[p.asker]), tongma.ParticipantID(b.names[p.debtor]), tongma.ParticipantID(b.names[p.creditor])
	e.Scheme, e.Amount, e.Model = tongma.SchemeID(b.names[p.scheme]), tongma.Money{Minor: p.moved(), Currency: p.currency}, b.models[w.model].name
}

// has tells whether the window holds a posting of p.
func (w *window) has(p *payment) bool {
	return p.window == uint32(w.id) || p.backWindow == uint32(w.id)
}

// weight is what a posting moves, with its fees.
func (b *Book) weight(p *payment) int64 {
	sum := p.moved()
	for _, f := range b.feesOf(p) {
		sum += f.minor
	}
	return sum
}

// paidFor tells whether without p a leg would be less than what was paid of it.
func (b *Book) paidFor(w *window, p *payment) bool {
	paid := func(from, to uint16, minor int64) bool {
		l := legBetween(w.legs, from, to, p.currency)
		return l != nil && w.flows[flowKey{from, to, p.currency}].gross-minor < l.done
	}
	less := map[[2]uint16]int64{}
	b.postings(p, w, func(from, to uint16, minor int64, _ bool) { less[[2]uint16{b.settler(from), b.settler(to)}] += minor })
	for k, minor := range less {
		if paid(k[0], k[1], minor) {
			return true
		}
	}
	return false
}

// postings calls see for every movement of p that a window holds: the posting, its
// turning back, and the fees of both.
func (b *Book) postings(p *payment, w *window, see func(from, to uint16, minor int64, fee bool)) {
	each := func(turn bool) {
		from, to := p.debtor, p.creditor
		if turn {
			from, to = to, from
		}
		see(from, to, p.moved(), false)
		for _, f := range b.feesOf(p) {
			if from, to = f.from, f.to; turn {
				from, to = to, from
			}
			see(from, to, f.minor, true)
		}
	}
	if p.window == uint32(w.id) {
		each(false)
	}
	if p.backWindow == uint32(w.id) {
		each(true)
	}
}

// proposeRecast decides on the sheet that is in force once payments were deferred.
// A leg that was paid more than is now due is due back. The reasons, in their order:
//
//	StateConflict (not instructed); nothing was deferred since the last sheet: Exists; SheetMismatch
func (b *Book) proposeRecast(e *Entry, w *window) Verdict {
	switch {
	case w.state != WindowInstructed:
		return Verdict{Reason: tongma.StateConflict}
	case !w.recasting:
		return Verdict{Exists: true}
	}
	sheet := b.sheet(w)
	if e.Hash != ([32]byte{}) && e.Hash != sheet.Hash {
		return Verdict{Reason: tongma.SheetMismatch}
	}
	e.Hash = sheet.Hash
	return Verdict{Write: true}
}

// applyRecast applies a defer or a recast entry.
func (b *Book) applyRecast(e *Entry, w *window) error {
	again := *e
	if v := b.proposeWindow(&again); !v.Write || again.AuthWindow != e.AuthWindow || again.Amount != e.Amount || again.Hash != e.Hash {
		return b.broken(e, "no Book would have proposed it")
	}
	if e.Kind == KindRecast {
		w.legs, w.sheet, w.recasting = b.recastLegs(w), e.Hash, false
		return nil
	}
	i, _ := b.find(e.Payment)
	p, open := &b.payments[i], b.openOf(w.model)
	b.postings(p, w, func(from, to uint16, minor int64, fee bool) {
		// Nobody's sponsor changes while a window that it stands in is not settled.
		k := flowKey{b.settler(from), b.settler(to), p.currency}
		b.note(w, from, to, p.currency, minor, true)
		b.note(open, from, to, p.currency, minor, false)
		w.take(k, minor, fee)
		if fee {
			open.addFee(k, minor)
		} else {
			open.add(k, minor)
		}
	})
	if p.window == uint32(w.id) {
		p.window = uint32(open.id)
		open.put(i|itemDeferred, e.Number)
	}
	if p.backWindow == uint32(w.id) {
		p.backWindow = uint32(open.id)
		open.put(i|itemDeferred|itemBack, e.Number)
	}
	// The window is a part of what askers are told, so that this entry, and no longer
	// the posting, is what the answer comes of.
	p.entry, p.changedAt = e.Number, e.Time
	w.recasting = true
	return nil
}

// WindowItem is one posting into a window, in the order of the journal.
type WindowItem struct {
	Entry      uint64           // that posted it here, turned it back here, or deferred it to here
	Kind       Kind             // KindPost or KindReversed; KindCover, which is no payment; KindDisputeStep: a chargeback
	Payment    tongma.PaymentID // of a chargeback, the dispute
	Op         tongma.Operation
	Debtor     tongma.ParticipantID // pays, as it was posted: of a payment turned back, its creditor
	Creditor   tongma.ParticipantID
	Payer      tongma.ParticipantID // who settled for Debtor: itself, or its sponsor
	Payee      tongma.ParticipantID // who settled for Creditor
	Amount     tongma.Money
	Legs       []Leg           // fees as they moved, between those who settled; not to be changed
	DeferredIn bool            // it came out of an earlier window
	DeferredTo tongma.WindowID // it is in that window now, and counts here no more; else zero
}

// WindowPayments calls see for everything that was posted into a window, in the
// order of the journal, those included that were deferred into it or out of it,
// until see returns false. Without those that have a DeferredTo, it adds up to the
// window's sheet, by Payer and Payee.
func (b *Book) WindowPayments(id tongma.WindowID, see func(WindowItem) bool) {
	w := b.window(id)
	if w == nil {
		return
	}
	debts := w.debts
	owed := func() bool {
		d := debts[0]
		debts = debts[1:]
		from, to := tongma.ParticipantID(b.names[d.from]), tongma.ParticipantID(b.names[d.to])
		return see(WindowItem{Entry: d.entry, Kind: d.kind(), Payment: d.dispute, Debtor: from, Creditor: to, Payer: b.settledBy(from, d.entry), Payee: b.settledBy(to, d.entry),
			Amount: tongma.Money{Minor: d.minor, Currency: d.currency}})
	}
	for _, it := range w.items {
		entry := w.opened + uint64(it.behind)
		for len(debts) > 0 && debts[0].entry < entry {
			if !owed() {
				return
			}
		}
		if !see(b.windowItem(w, it, entry)) {
			return
		}
	}
	for len(debts) > 0 && owed() {
	}
}

func (b *Book) windowItem(w *window, it item, entry uint64) WindowItem {
	p := &b.payments[it.payment&itemPayment]
	out := WindowItem{Entry: entry, Kind: KindPost, Payment: p.id, Op: p.op, Debtor: tongma.ParticipantID(b.names[p.debtor]), Creditor: tongma.ParticipantID(b.names[p.creditor]),
		Amount: tongma.Money{Minor: p.moved(), Currency: p.currency}, Legs: b.legs(p), DeferredIn: it.payment&itemDeferred != 0}
	at := p.window
	if it.payment&itemBack != 0 {
		at = p.backWindow
		out.Kind, out.Debtor, out.Creditor, out.Legs = KindReversed, out.Creditor, out.Debtor, turned(out.Legs)
	}
	if !w.holds(it, p) {
		out.DeferredTo = tongma.WindowID(at)
	}
	out.Payer, out.Payee = b.settledBy(out.Debtor, entry), b.settledBy(out.Creditor, entry)
	if len(b.sponsorships) > 0 {
		out.Legs = slices.Clone(out.Legs)
		for i := range out.Legs {
			l := &out.Legs[i]
			l.From, l.To = b.settledBy(l.From, entry), b.settledBy(l.To, entry)
		}
	}
	return out
}

func (b *Book) settledBy(who tongma.ParticipantID, entry uint64) tongma.ParticipantID {
	if len(b.sponsorships) == 0 {
		return who
	}
	return tongma.ParticipantID(b.names[b.settlerAt(b.numbers[string(who)], entry)])
}
