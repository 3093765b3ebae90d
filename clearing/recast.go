package clearing

import (
	"cmp"
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
//	(never in it; or a cover was asked for, a debit was tried again, or a person's word waits: money may have moved), FieldInvalid (it names another
//	currency than its own), StateConflict (payments leave the window for another currency), NotShort (nobody is, in the
//	currency), StateConflict (of a gross window: paid already), PositionOverflow
func (b *Book) proposeDefer(e *Entry) Verdict {
	i, ok := b.find(e.Payment)
	if !ok && ((e.Payment.IsZero() && e.SchemeRef != "") || b.disputeOf(e.Payment) != nil) {
		return b.proposeDeferDebt(e)
	}
	if !ok {
		return Verdict{Reason: tongma.PaymentUnknown}
	}
	p, w := b.payments.at(i), b.window(e.Window)
	v := Verdict{Payment: b.show(p)}
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
	case b.deferrable(e, w, []tongma.Currency{p.currency, b.given(p).Currency}, false) != tongma.NoReason:
		v.Reason = b.deferrable(e, w, []tongma.Currency{p.currency, b.given(p).Currency}, false)
	case w.method == calendar.Gross && b.paidFor(w, p):
		v.Reason = tongma.StateConflict
	case b.tooMuch(b.openOf(w.model), p.currency, 2*b.weight(p), mostPosted), b.tooMuch(b.openOf(w.model), b.given(p).Currency, 2*b.weight(p), mostPosted):
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
	if x := b.crossOf(p); x != nil {
		e.Dealer, e.Target = tongma.ParticipantID(b.names[x.dealer]), tongma.Money{Minor: x.target, Currency: x.currency}
	}
	e.Scheme, e.Amount, e.Model = tongma.SchemeID(b.names[p.scheme]), tongma.Money{Minor: p.moved(), Currency: p.currency}, b.models[w.model].name
}

// has tells whether the window holds a posting of p.
func (w *window) has(p *payment) bool {
	return p.window == uint32(w.id) || p.backWindow == uint32(w.id)
}

// weight is at least what a posting moves in one currency, with its fees.
func (b *Book) weight(p *payment) (sum int64) {
	b.movements(p, false, func(m moving) { sum += m.minor })
	return sum
}

// paidFor tells whether without p a leg would be less than what was paid of it.
func (b *Book) paidFor(w *window, p *payment) (paid bool) {
	less := map[flowKey]int64{}
	b.postings(p, w, func(m moving) { less[flowKey{b.settler(m.from), b.settler(m.to), m.currency}] += m.minor })
	for k, minor := range less {
		l := legBetween(w.legs, k.debtor, k.creditor, k.currency)
		paid = paid || (l != nil && w.flows[k].gross-minor < l.done)
	}
	return paid
}

// postings calls see for every movement of p that a window holds: the posting, its
// turning back, and the fees of both.
func (b *Book) postings(p *payment, w *window, see func(moving)) {
	if p.window == uint32(w.id) {
		b.movements(p, false, see)
	}
	if p.backWindow == uint32(w.id) {
		b.movements(p, true, see)
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
		w.legs, w.sheet, w.recasting, w.recastOf = b.recastLegs(w), e.Hash, false, 0
		clear(w.gone)
		for i := range w.debts {
			w.debts[i].gone = false
		}
		return nil
	}
	i, ok := b.find(e.Payment)
	if !ok {
		b.deferDebts(e, w)
		return nil
	}
	p, open := b.payments.at(i), b.openOf(w.model)
	b.postings(p, w, func(m moving) {
		// Nobody's sponsor changes while a window that it stands in is not settled.
		k := flowKey{b.settler(m.from), b.settler(m.to), m.currency}
		b.note(w, m.from, m.to, m.currency, m.minor, true)
		b.note(open, m.from, m.to, m.currency, m.minor, false)
		w.take(k, m.minor, m.fee)
		if m.fee {
			open.addFee(k, m.minor)
		} else {
			open.add(k, m.minor)
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
	if w.gone == nil {
		w.gone = map[uint32]bool{}
	}
	w.gone[i] = true
	w.recastFor(e)
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
	Dealer     tongma.ParticipantID // of two currencies: Payer pays Amount to it, and it pays Target to Payee; else empty
	Through    tongma.ParticipantID // who settled for Dealer
	Target     tongma.Money
	Legs       []Leg           // fees as they moved, between those who settled; not to be changed
	DeferredIn bool            // it came out of an earlier window
	DeferredTo tongma.WindowID // it is in that window now, and counts here no more; else zero
	JustGone   bool            // it left the window, whose sheet is not drawn up anew since
	Ref        string          // of a cover: the instruction's id
}

// WindowPayments calls see for everything that was posted into a window, in the
// order of the journal, those included that were deferred into it or out of it,
// until see returns false. Without those that have a DeferredTo, it adds up to the
// window's sheet, by Payer and Payee.
func (b *Book) WindowPayments(id tongma.WindowID, see func(WindowItem) bool) {
	b.WindowPaymentsFrom(id, &WindowCursor{}, see)
}

// WindowCursor is how far a reading of a window has come. The zero WindowCursor is at
// its beginning.
type WindowCursor struct{ items, debts int }

// WindowCursorBehind returns a cursor behind all that an entry, or one before it, posted
// into a window.
func (b *Book) WindowCursorBehind(id tongma.WindowID, entry uint64) (at WindowCursor) {
	w := b.window(id)
	if w == nil || entry < w.opened {
		return at
	}
	at.items, _ = slices.BinarySearchFunc(w.items, entry-w.opened+1, func(it item, behind uint64) int { return cmp.Compare(uint64(it.behind), behind) })
	at.debts, _ = slices.BinarySearchFunc(w.debts, entry+1, func(d debt, entry uint64) int { return cmp.Compare(d.entry, entry) })
	return at
}

// WindowPaymentsFrom is WindowPayments from a cursor on, which it moves behind what see
// was shown: millions of payments are read in parts, between which the Book goes on.
// Into a closed window nothing comes any more; what leaves it stays in its place.
func (b *Book) WindowPaymentsFrom(id tongma.WindowID, at *WindowCursor, see func(WindowItem) bool) {
	w := b.window(id)
	for w != nil {
		entry, left := uint64(0), at.items < len(w.items)
		if left {
			entry = w.opened + uint64(w.items[at.items].behind)
		}
		var it WindowItem
		switch {
		case at.debts < len(w.debts) && (!left || w.debts[at.debts].entry < entry):
			it = b.owedItem(w, &at.debts)
		case left:
			it = b.windowItem(w, w.items[at.items], entry)
			at.items++
		default:
			return
		}
		if !see(it) {
			return
		}
	}
}

// owedItem shows the next debt of a window, with the fees that go back with it.
func (b *Book) owedItem(w *window, next *int) WindowItem {
	d := &w.debts[*next]
	from, to := tongma.ParticipantID(b.names[d.from]), tongma.ParticipantID(b.names[d.to])
	it := WindowItem{Entry: d.entry, Kind: d.kind(), Payment: d.dispute, Debtor: from, Creditor: to, Payer: b.settledBy(from, d.entry), Payee: b.settledBy(to, d.entry),
		Amount: tongma.Money{Minor: d.minor, Currency: d.currency}, DeferredIn: d.deferred, DeferredTo: tongma.WindowID(d.deferredTo), JustGone: d.gone, Ref: d.ref}
	for *next++; *next < len(w.debts) && w.debts[*next].fee != 0; *next++ { // of the same chargeback
		f := &w.debts[*next]
		it.Legs = append(it.Legs, Leg{Kind: f.fee, From: b.settledBy(tongma.ParticipantID(b.names[f.from]), f.entry), To: b.settledBy(tongma.ParticipantID(b.names[f.to]), f.entry),
			Amount: tongma.Money{Minor: f.minor, Currency: f.currency}})
	}
	return it
}

// Covers calls see for every debt to whoever covered for another that stands in a window
// of a model behind the given one, and has not left it.
func (b *Book) Covers(model string, behind tongma.WindowID, see func(creditor tongma.ParticipantID, owed tongma.Money)) {
	for _, w := range b.windows[min(int(behind), len(b.windows)):] {
		if b.models[w.model].name != model {
			continue
		}
		for i := range w.debts {
			if d := &w.debts[i]; d.of != 0 && d.deferredTo == 0 {
				see(tongma.ParticipantID(b.names[d.to]), tongma.Money{Minor: d.minor, Currency: d.currency})
			}
		}
	}
}

func (b *Book) windowItem(w *window, it item, entry uint64) WindowItem {
	p := b.payments.at(it.payment & itemPayment)
	out := WindowItem{Entry: entry, Kind: KindPost, Payment: p.id, Op: p.op, Debtor: tongma.ParticipantID(b.names[p.debtor]), Creditor: tongma.ParticipantID(b.names[p.creditor]),
		Amount: tongma.Money{Minor: p.moved(), Currency: p.currency}, Legs: b.legs(p), DeferredIn: it.payment&itemDeferred != 0}
	at := p.window
	if it.payment&itemBack != 0 {
		at = p.backWindow
		out.Kind, out.Debtor, out.Creditor, out.Legs = KindReversed, out.Creditor, out.Debtor, turned(out.Legs)
	}
	if x := b.crossOf(p); x != nil {
		out.Dealer, out.Target = tongma.ParticipantID(b.names[x.dealer]), tongma.Money{Minor: x.target, Currency: x.currency}
		if it.payment&itemBack != 0 { // the creditor gives back what it got
			out.Amount, out.Target = out.Target, out.Amount
		}
		out.Through = b.settledBy(out.Dealer, entry)
	}
	if !w.holds(it, p) {
		out.DeferredTo, out.JustGone = tongma.WindowID(at), w.gone[it.payment&itemPayment]
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
