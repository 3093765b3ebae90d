package clearing

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// noName is the number of the empty name, which as the side of a leg is the
// settlement account.
const noName = 0

// leg is what one side has to move to another so that a window settles. Figures
// more than zero go from one to the other, less than zero back: a leg that was
// confirmed and then recast may be due the other way round.
type leg struct {
	one, other uint16 // other is noName if they settle through the agent
	currency   tongma.Currency
	net        int64 // of the sheet in force
	done       int64 // confirmed
	tries      uint32
	short      bool // the last word on it was a refusal
}

func (l *leg) due() int64 { return l.net - l.done }

// payer returns who has to pay what is due, to whom and how much.
func (l *leg) payer() (from, to uint16, minor int64) {
	if due := l.due(); due < 0 {
		return l.other, l.one, -due
	}
	return l.one, l.other, l.due()
}

// told is one word of the agent on a leg, or of whoever covered it.
type told struct {
	entry     uint64
	kind      Kind
	from, to  uint16 // of the leg
	payer     uint16 // cover: who paid
	currency  tongma.Currency
	minor     int64
	id        string // of the instruction
	prefunded bool   // cover: out of from's own prefunding
	of        Kind   // word: of the entry that it would be
	maker     string // who said it first, if people said it
	key       string // where it is to be seen
}

type toldKey struct {
	kind Kind
	id   string
}

// debt is what one owes another in a window, and is no payment: to whoever covered
// for it, or as a chargeback.
type debt struct {
	entry    uint64
	from, to uint16
	currency tongma.Currency
	minor    int64
	of       tongma.WindowID  // of a cover: which the debtor was short in
	ref      string           // of a cover: the instruction's id
	dispute  tongma.PaymentID // of a chargeback
	shard    uint16           // of what was gathered: of which shard
	fee      schemes.FeeKind  // of a chargeback, that a fee goes back; it stands behind the chargeback itself

	deferred   bool   // it came out of an earlier window
	deferredTo uint32 // it is in that window now, and counts here no more
	gone       bool   // the sheet is not drawn up anew since
}

// kind is that of the entry that made it.
func (d *debt) kind() Kind {
	switch {
	case d.of != 0:
		return KindCover
	case d.shard != 0:
		return KindGather
	}
	return KindDisputeStep
}

// WithAgents returns what the settlement agents hold by currency: what was collected
// for windows that are being settled, and has not been paid yet. With it, all positions
// of a currency add up to zero.
func (b *Book) WithAgents() map[tongma.Currency]int64 {
	held := map[tongma.Currency]int64{}
	for _, w := range b.windows {
		if w.state != WindowInstructed {
			continue
		}
		for i := range w.legs {
			if l := &w.legs[i]; l.other == noName && l.done != 0 {
				held[l.currency] += l.done
			}
		}
	}
	return held
}

// legsOf computes the legs of a window from its flows, in the order of the sheet.
func (b *Book) legsOf(w *window) []leg {
	nets := map[flowKey]int64{}
	for k, f := range w.flows {
		switch {
		case w.method != calendar.Bilateral && w.method != calendar.Gross:
			nets[flowKey{k.debtor, noName, k.currency}] += f.gross
			nets[flowKey{k.creditor, noName, k.currency}] -= f.gross
		case k.debtor == k.creditor:
		case w.method == calendar.Bilateral && b.names[k.debtor] > b.names[k.creditor]:
			nets[flowKey{k.creditor, k.debtor, k.currency}] -= f.gross
		default:
			nets[k] += f.gross
		}
	}
	legs := make([]leg, 0, len(nets))
	for k, net := range nets {
		if net != 0 {
			legs = append(legs, leg{one: k.debtor, other: k.creditor, currency: k.currency, net: net})
		}
	}
	b.sortLegs(legs)
	return legs
}

func (b *Book) sortLegs(legs []leg) {
	slices.SortFunc(legs, func(x, y leg) int {
		return cmp.Or(cmp.Compare(x.currency.Code(), y.currency.Code()), cmp.Compare(b.names[x.one], b.names[y.one]), cmp.Compare(b.names[x.other], b.names[y.other]))
	})
}

// recastLegs returns the legs as the flows now give them, with what was done of
// those that stood before.
func (b *Book) recastLegs(w *window) []leg {
	legs := b.legsOf(w)
	for _, was := range w.legs {
		if l := legBetween(legs, was.one, was.other, was.currency); l != nil {
			l.done, l.tries = was.done, was.tries
		} else if was.done != 0 {
			was.net, was.short = 0, false
			legs = append(legs, was)
		}
	}
	b.sortLegs(legs)
	return legs
}

func legBetween(legs []leg, one, other uint16, c tongma.Currency) *leg {
	for i := range legs {
		if l := &legs[i]; l.one == one && l.other == other && l.currency == c && !l.gone() {
			return l
		}
	}
	return nil
}

// gone tells whether nothing is left of a leg: it was recast to nothing, and what was
// paid of it went back.
func (l *leg) gone() bool { return l.net == 0 && l.done == 0 }

// leg finds the leg by which something is due from one to another; if nothing is,
// the one that runs between them. Of a gross window there may be one each way.
func (w *window) leg(from, to uint16, c tongma.Currency) *leg {
	there, back := legBetween(w.legs, from, to, c), legBetween(w.legs, to, from, c)
	if there == nil || (back != nil && there.due() <= 0 && back.due() < 0) {
		return back
	}
	return there
}

func (w *window) allDone() bool {
	return !slices.ContainsFunc(w.legs, func(l leg) bool { return l.due() != 0 })
}

// collecting tells whether a debit of a currency is not collected yet. Where legs
// run between two participants there is nothing to collect first.
func (w *window) collecting(c tongma.Currency) bool {
	return slices.ContainsFunc(w.legs, func(l leg) bool { return l.currency == c && l.other == noName && l.due() > 0 })
}

// shortOf tells whether a leg of a currency is short.
func (w *window) shortOf(c tongma.Currency) bool {
	return slices.ContainsFunc(w.legs, func(l leg) bool { return l.currency == c && l.short && l.due() != 0 })
}

// said finds what was told under an instruction's id, if anything.
func (w *window) said(kind Kind, id string) *told {
	if i, ok := w.toldAt[toldKey{kind, id}]; ok && id != "" {
		return &w.told[i]
	}
	return nil
}

// tell keeps a word of the agent.
func (w *window) tell(t told) {
	if w.toldAt == nil {
		w.toldAt = map[toldKey]uint32{}
	}
	for _, kind := range [...]Kind{KindWord, KindCoverAsked, KindRetry} {
		switch was := w.waiting(kind, t.id); {
		case t.kind == kind:
			if t.awaited() {
				w.waits++
			}
		case kind != KindWord && t.kind == KindWordRejected:
		case slices.Contains(enders[:], t.kind) && was != nil && was.awaited():
			w.waits--
		}
	}
	w.toldAt[toldKey{t.kind, t.id}] = uint32(len(w.told))
	w.told = append(w.told, t)
}

// sides returns between whom the leg of a settle, short or cover entry runs; false
// if the Book has never heard of one of them.
func (b *Book) sides(e *Entry) (from, to uint16, known bool) {
	creditor := e.Creditor
	if e.Kind.covers() {
		creditor = e.Asker
	}
	from, one := b.numbers[string(e.Debtor)]
	to, other := b.numbers[string(creditor)]
	return from, to, one && other && (from != noName || to != noName)
}

// covers tells whether an entry is about what others pay for a debtor.
func (k Kind) covers() bool { return k == KindCover || k == KindCoverAsked || k == KindCoverRefused }

// repeat is the verdict on an entry that is the second one under its
// instruction's id.
func (t *told) repeat(e *Entry, from, to uint16, known bool) Verdict {
	switch {
	case !known || t.from != from || t.to != to:
		return Verdict{Exists: true, Reason: tongma.ExistsOtherParticipant}
	case t.minor != e.Amount.Minor:
		return Verdict{Exists: true, Reason: tongma.ExistsOtherAmount}
	case t.currency != e.Amount.Currency:
		return Verdict{Exists: true, Reason: tongma.ExistsOtherCurrency}
	}
	return Verdict{Exists: true}
}

// proposeSettle decides on the agent's word that it moved something. Without an
// instruction's id it has to be all that is due, since two parts of the same amount
// could not be told from one part told twice. The reasons, in their order:
//
//	StateConflict (not instructed, or being recast), FieldInvalid (nobody, or no amount), SheetMismatch (another sheet, or
//	no such leg); a repeat: Exists, with ExistsOtherParticipant, ExistsOtherAmount or ExistsOtherCurrency; SheetMismatch
//	(the other way round, or without an id not all), MoreThanDue, CreditsWait, StateConflict (a cover that was asked for
//	needs it, or the debit that was tried again); of people's word those of shared
func (b *Book) proposeSettle(e *Entry, w *window) Verdict {
	if w.state != WindowInstructed && w.state != WindowSettled {
		return Verdict{Reason: tongma.StateConflict}
	}
	if (e.Debtor == "" && e.Creditor == "") || e.Amount.Minor <= 0 {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	from, to, known := b.sides(e)
	if t := w.said(KindSettle, e.SchemeRef); t != nil {
		return t.repeat(e, from, to, known)
	}
	if w.recasting {
		return Verdict{Reason: tongma.StateConflict}
	}
	if e.Hash != ([32]byte{}) && e.Hash != w.sheet {
		return Verdict{Reason: tongma.SheetMismatch}
	}
	v := b.settleable(e, w, from, to, known)
	if v.Write {
		if v.Reason = b.leaves(e, w); v.Reason == tongma.NoReason {
			v.Reason = b.shared(e, w)
		}
		v.Write = v.Reason == tongma.NoReason
	}
	return v
}

// leaves says why so much of a leg may not be settled now: a cover was asked for, or the
// debit tried again, under another id, and if the agent moves that, it has to be due.
func (b *Book) leaves(e *Entry, w *window) tongma.Reason {
	from, to, _ := b.sides(e)
	l := w.leg(from, to, e.Amount.Currency)
	for i := range w.told {
		t := &w.told[i]
		if t.id == e.SchemeRef || !w.mayMove(t, from, to, e.Amount.Currency) {
			continue
		}
		if _, _, due := l.payer(); due-e.Amount.Minor < t.minor {
			return tongma.StateConflict
		}
	}
	return tongma.NoReason
}

func (b *Book) settleable(e *Entry, w *window, from, to uint16, known bool) Verdict {
	l := w.leg(from, to, e.Amount.Currency)
	if !known || l == nil || (l.net == 0 && l.done == 0) { // or none any more, since a recast
		return Verdict{Reason: tongma.SheetMismatch}
	}
	payer, payee, due := l.payer()
	if e.SchemeRef == "" && due == 0 && b.was(l, from, to, e.Amount.Minor) {
		return Verdict{Exists: true}
	}
	switch {
	case due == 0 && e.SchemeRef != "":
		return Verdict{Reason: tongma.MoreThanDue}
	case payer != from || payee != to, e.SchemeRef == "" && e.Amount.Minor != due:
		return Verdict{Reason: tongma.SheetMismatch}
	case e.Amount.Minor > due:
		return Verdict{Reason: tongma.MoreThanDue}
	case from == noName && w.collecting(e.Amount.Currency):
		return Verdict{Reason: tongma.CreditsWait}
	}
	return Verdict{Write: true}
}

// was tells whether the whole of a leg was once due from one to the other.
func (b *Book) was(l *leg, from, to uint16, minor int64) bool {
	if l.one == from && l.other == to {
		return l.net == minor
	}
	return l.net == -minor
}

// Confirmed tells whether in need not be sent (again): the books have the agent's
// confirmation of it, or what it was to move is not due any more.
func (b *Book) Confirmed(in *Instruction) bool {
	w := b.window(in.Window)
	if w == nil || (w.state != WindowInstructed && w.state != WindowSettled) {
		return false
	}
	e := in.Confirm()
	from, to, known := b.sides(&e)
	if !known {
		return false
	}
	if w.said(KindSettle, in.ID) != nil {
		return true
	}
	l := w.leg(from, to, in.Amount.Currency)
	return l != nil && l.due() == 0
}

// proposeShort decides on the agent's word that a debtor has not got what is due,
// or the rest of it. The reasons, in their order:
//
//	StateConflict (not instructed, or being recast), FieldInvalid (no debtor, no id, or no amount), SheetMismatch (no such
//	leg); a repeat: Exists, with the first difference; SheetMismatch (the other way round), MoreThanDue, StateConflict (the
//	debit was tried again under another id); of people's word those of shared
func (b *Book) proposeShort(e *Entry, w *window) Verdict {
	l, v := b.shortLeg(e, w)
	if l == nil {
		return v
	}
	if from, to, _ := b.sides(e); w.retriedElse(e.SchemeRef, from, to, e.Amount.Currency) {
		return Verdict{Reason: tongma.StateConflict}
	}
	reason := b.shared(e, w)
	return Verdict{Write: reason == tongma.NoReason, Reason: reason}
}

// shortLeg finds the leg that a short or a cover entry is about, if it may be
// written as far as the leg is concerned.
func (b *Book) shortLeg(e *Entry, w *window) (*leg, Verdict) {
	if w.state != WindowInstructed {
		return nil, Verdict{Reason: tongma.StateConflict}
	}
	if e.Debtor == "" || e.SchemeRef == "" || e.Amount.Minor <= 0 {
		return nil, Verdict{Reason: tongma.FieldInvalid}
	}
	from, to, known := b.sides(e)
	if t := w.said(e.Kind, e.SchemeRef); t != nil {
		v := t.repeat(e, from, to, known)
		if e.Kind.covers() && v.Reason == tongma.NoReason && b.names[t.payer] != string(e.Creditor) {
			v.Reason = tongma.ExistsOtherParticipant
		}
		return nil, v
	}
	if w.recasting {
		return nil, Verdict{Reason: tongma.StateConflict}
	}
	l := w.leg(from, to, e.Amount.Currency)
	if !known || l == nil {
		return nil, Verdict{Reason: tongma.SheetMismatch}
	}
	payer, _, due := l.payer()
	switch {
	case e.Kind.covers() && !l.short:
		return nil, Verdict{Reason: tongma.NotShort}
	case due != 0 && payer != from:
		return nil, Verdict{Reason: tongma.SheetMismatch}
	case e.Amount.Minor > due:
		return nil, Verdict{Reason: tongma.MoreThanDue}
	}
	return l, Verdict{}
}

// proposeCover decides on what was paid for a debtor that is short. What its
// participants pay for each other is a debt in the model's open window; its own
// prefunding is simply used up. The reasons, in their order:
//
//	those of proposeShort, with FieldInvalid if nobody pays, or a sub-participant, and NotShort before the direction; FundsMissing (its prefunding
//	is less), PositionOverflow; of one that was asked for those of askedFor, and of leaves; of people's word those of shared
func (b *Book) proposeCover(e *Entry, w *window) Verdict {
	v := b.coverable(e, w)
	if v.Write {
		if v.Reason = cmp.Or(b.askedFor(e, w), b.leaves(e, w)); v.Reason == tongma.NoReason {
			v.Reason = b.shared(e, w)
		}
		v.Write = v.Reason == tongma.NoReason
	}
	return v
}

// askedFor says why a cover, or its refusal, is not that which was asked for under its
// id. A cover may be less; it may come late, when it was taken for refused; and one
// that was not asked for by an entry is as good.
func (b *Book) askedFor(e *Entry, w *window) tongma.Reason {
	t := w.said(KindCoverAsked, e.SchemeRef)
	if t == nil {
		return tongma.NoReason
	}
	from, to, _ := b.sides(e)
	switch {
	case t.from != from || t.to != to || b.names[t.payer] != string(e.Creditor):
		return tongma.ExistsOtherParticipant
	case t.currency != e.Amount.Currency:
		return tongma.ExistsOtherCurrency
	case e.Amount.Minor > t.minor, e.Kind == KindCoverRefused && e.Amount.Minor != t.minor:
		return tongma.ExistsOtherAmount
	}
	return tongma.NoReason
}

// proposeCoverAsked decides on asking somebody to pay for a debtor that is short. It
// stands before the agent hears of it: whoever comes after a stop asks the agent what
// became of it, or sends it again as it is written here. The reasons are those of a
// cover, and StateConflict if another is under way for the same leg, or the leg's own debit
// that was tried again, or the id had its end.
func (b *Book) proposeCoverAsked(e *Entry, w *window) Verdict {
	v := b.coverable(e, w)
	if !v.Write {
		return v
	}
	from, to, _ := b.sides(e)
	ended := w.said(KindCover, e.SchemeRef) != nil || w.said(KindCoverRefused, e.SchemeRef) != nil
	if ended || w.anyMayMove(from, to, e.Amount.Currency) {
		return Verdict{Reason: tongma.StateConflict}
	}
	return v
}

// proposeCoverRefused decides on the agent's word that it will not move a cover. The
// reasons, in their order:
//
//	StateConflict (not instructed); a repeat: Exists; StateConflict (it was not asked for, or has its end); those of askedFor,
//	then of shared
func (b *Book) proposeCoverRefused(e *Entry, w *window) Verdict {
	switch {
	case w.state != WindowInstructed:
		return Verdict{Reason: tongma.StateConflict}
	case w.said(KindCoverRefused, e.SchemeRef) != nil:
		return Verdict{Exists: true}
	case w.waiting(KindCoverAsked, e.SchemeRef) == nil:
		return Verdict{Reason: tongma.StateConflict}
	}
	reason := b.askedFor(e, w)
	if reason == tongma.NoReason {
		reason = b.shared(e, w)
	}
	return Verdict{Write: reason == tongma.NoReason, Reason: reason}
}

// coverable is proposeCover as far as the leg and the money go.
func (b *Book) coverable(e *Entry, w *window) Verdict {
	if w.state == WindowInstructed && (e.Creditor == "" || e.Creditor == e.Asker || b.sponsored(e.Creditor)) {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	l, v := b.shortLeg(e, w)
	if l == nil {
		return v
	}
	a := b.standing(e.Debtor, e.Amount.Currency)
	switch {
	case e.Creditor == e.Debtor && a.prefunding < e.Amount.Minor:
		return Verdict{Reason: tongma.FundsMissing}
	case e.Creditor != e.Debtor && (b.tooMuch(b.openOf(w.model), e.Amount.Currency, e.Amount.Minor, mostPosted) || b.nearEdge(e.Creditor, e.Amount.Currency)):
		return Verdict{Reason: tongma.PositionOverflow}
	}
	return Verdict{Write: true}
}

// applySettling applies what the agent, or who covers, says of a window that is
// being settled, and refuses what a Book would not have proposed.
func (b *Book) applySettling(e *Entry, w *window) error {
	if e.Kind == KindDefer || e.Kind == KindRecast {
		return b.applyRecast(e, w)
	}
	again := *e
	if v := b.proposeWindow(&again); !v.Write || !bytes.Equal(again.AppendTo(nil), e.AppendTo(nil)) {
		return b.broken(e, "leg is not due, or not so")
	}
	t := told{entry: e.Number, kind: e.Kind, currency: e.Amount.Currency, minor: e.Amount.Minor, id: e.SchemeRef, maker: e.Maker, key: e.Key}
	if e.Kind == KindWord || e.Kind == KindWordRejected {
		b.hear(e, w, &t)
		return nil
	}
	t.from, t.to, _ = b.sides(e)
	if e.Kind.covers() {
		t.payer, t.prefunded = b.number(string(e.Creditor)), e.Creditor == e.Debtor
	}
	l := w.leg(t.from, t.to, e.Amount.Currency)
	switch e.Kind {
	case KindShort:
		l.tries++
		l.short = true
		b.blocked[t.from], b.kept[t.from] = true, true
	case KindSettle:
		b.confirm(l, &t)
	case KindCover:
		b.confirm(l, &t)
		b.owe(e, w, &t)
	}
	w.tell(t)
	return nil
}

// confirm takes what was paid out of a leg, and out of the positions of its sides.
func (b *Book) confirm(l *leg, t *told) {
	signed := t.minor
	if l.one != t.from {
		signed = -signed
	}
	l.done += signed
	if l.due() == 0 {
		l.short = false
	}
	if t.from != noName {
		b.account(t.from, t.currency).position -= t.minor
	}
	if t.to != noName {
		b.account(t.to, t.currency).position += t.minor
	}
}

// owe books what a cover leaves behind: less prefunding, or a debt to who paid.
func (b *Book) owe(e *Entry, w *window, t *told) {
	if t.prefunded {
		b.account(t.from, t.currency).prefunding -= t.minor
		return
	}
	b.debit(b.openOf(w.model), debt{entry: e.Number, from: t.from, to: t.payer, currency: t.currency, minor: t.minor, of: w.id, ref: t.id})
}
