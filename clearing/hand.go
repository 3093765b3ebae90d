package clearing

import (
	"cmp"

	"github.com/tongma/tongma"
)

// What the settlement agent did with an instruction is its own to say. Where it is
// not connected, or does not answer, two people say it: the first one's word
// (KindWord) changes nothing, and the same word of a second one is the entry that
// the agent's would have been, with both their names. Both name where it is to be
// seen: the statement, and its entry.

// enders are the kinds that end what waits under an instruction's id.
var enders = [...]Kind{KindSettle, KindShort, KindCover, KindCoverRefused, KindWordRejected}

// waiting finds what was said under an instruction's id and has no end yet: a word of a
// person (KindWord), a cover that was asked for (KindCoverAsked), or that it was about to
// be sent again (KindRetry).
func (w *window) waiting(kind Kind, id string) *told {
	t := w.said(kind, id)
	if t == nil {
		return nil
	}
	for _, k := range enders {
		if k == KindWordRejected && kind != KindWord {
			continue
		}
		if end := w.said(k, id); end != nil && end.entry > t.entry {
			return nil
		}
	}
	return t
}

// becomes is the kind of entry that a word stands for, by what it is about: a leg, or
// a cover that was asked for.
func (w *window) becomes(e *Entry) Kind {
	refused := e.Reason != tongma.NoReason
	switch cover := w.waiting(KindCoverAsked, e.SchemeRef) != nil; {
	case cover && refused:
		return KindCoverRefused
	case cover:
		return KindCover
	case refused:
		return KindShort
	}
	return KindSettle
}

// proposeWord decides on what a person says that the agent did. The reasons, in
// their order:
//
//	StateConflict (not instructed), FieldInvalid (nobody says it, no evidence, no instruction, or a second person is named);
//	a word that waits under the same instruction: Exists, with the first difference, ExistsOtherContent of its outcome,
//	evidence or maker, MakerIsChecker of a maker who is the same in other letters; else what the Book would say to the agent's own word
func (b *Book) proposeWord(e *Entry, w *window) Verdict {
	if w.state != WindowInstructed {
		return Verdict{Reason: tongma.StateConflict}
	}
	if e.Maker == "" || e.Checker != "" || e.Key == "" || e.SchemeRef == "" {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	if e.Reason != tongma.NoReason {
		e.Reason = tongma.AgentRejected
	}
	final := *e
	final.Kind, final.Maker = w.becomes(e), ""
	if t := w.waiting(KindWord, e.SchemeRef); t != nil {
		from, to, known := b.sides(&final)
		v := t.repeat(&final, from, to, known)
		switch {
		case v.Reason != tongma.NoReason:
		case t.of != final.Kind, t.key != e.Key, !samePerson(t.maker, e.Maker):
			v.Reason = tongma.ExistsOtherContent
		case t.maker != e.Maker: // the same person in other letters is not another
			v.Reason = tongma.MakerIsChecker
		}
		return v
	}
	if final.Kind != KindSettle {
		final.Hash = [32]byte{}
	}
	return b.proposeWindow(&final)
}

// proposeWordRejected decides on taking a word back, by its maker or by another. The
// reasons, in their order:
//
//	ProposalUnknown (no word was ever said of the instruction); one that has its end already: Exists if it was rejected,
//	StateConflict, as of a window that is settled; FieldInvalid (nobody does)
func (b *Book) proposeWordRejected(e *Entry, w *window) Verdict {
	t := w.said(KindWord, e.SchemeRef)
	if t == nil {
		return Verdict{Reason: tongma.ProposalUnknown}
	}
	if w.waiting(KindWord, e.SchemeRef) == nil {
		if was := w.said(KindWordRejected, e.SchemeRef); was != nil && was.entry > t.entry {
			return Verdict{Exists: true}
		}
		return Verdict{Reason: tongma.StateConflict}
	}
	switch {
	case w.state != WindowInstructed: // it is settled, and nothing waits any more
		return Verdict{Reason: tongma.StateConflict}
	case e.Checker == "":
		return Verdict{Reason: tongma.FieldInvalid}
	}
	e.Debtor, e.Creditor, e.Asker, e.Amount = tongma.ParticipantID(b.names[t.from]), tongma.ParticipantID(b.names[t.to]), "", tongma.Money{Minor: t.minor, Currency: t.currency}
	if t.of.covers() {
		e.Creditor, e.Asker = tongma.ParticipantID(b.names[t.payer]), e.Creditor
	}
	e.Maker, e.Key, e.Hash, e.Reason = t.maker, t.key, [32]byte{}, tongma.NoReason
	return Verdict{Write: true}
}

// hear keeps a word of a person, or that it was taken back.
func (b *Book) hear(e *Entry, w *window, t *told) {
	if e.Kind == KindWordRejected {
		was := w.said(KindWord, e.SchemeRef)
		t.from, t.to, t.payer, t.of = was.from, was.to, was.payer, was.of
	} else {
		final := *e
		final.Kind = w.becomes(e)
		t.of = final.Kind
		t.from, t.to, _ = b.sides(&final)
		if t.of.covers() {
			t.payer = b.number(string(e.Creditor))
		}
	}
	w.tell(*t)
}

// shared says why an entry that two people answer for may not be written: the first
// one's word has to wait for it, and be the same. Without people it is the agent's.
func (b *Book) shared(e *Entry, w *window) tongma.Reason {
	if e.Maker == "" && e.Checker == "" {
		return tongma.NoReason
	}
	t := w.waiting(KindWord, e.SchemeRef)
	if t == nil {
		return tongma.ProposalUnknown
	}
	from, to, known := b.sides(e)
	switch v := t.repeat(e, from, to, known); {
	case e.Checker == "":
		return tongma.FieldInvalid
	case v.Reason != tongma.NoReason:
		return v.Reason
	case t.of != e.Kind, e.Key != t.key:
		return tongma.ExistsOtherContent
	case samePerson(t.maker, e.Checker):
		return tongma.MakerIsChecker
	}
	e.Maker = t.maker
	return tongma.NoReason
}

// Word is what was said of an instruction: by the agent, or by people.
type Word struct {
	Entry            uint64
	Window           tongma.WindowID
	Instruction      string
	Kind             Kind                 // KindSettle, KindShort, KindCover or KindCoverRefused: what it is, or of a word that waits would be
	Debtor, Creditor tongma.ParticipantID // of the leg; empty is the settlement account
	Payer            tongma.ParticipantID // of a cover
	Amount           tongma.Money
	Evidence         string // where it is to be seen, in the words of those who said it
	Maker            string // who said it first; empty: the agent did
}

func (b *Book) word(w *window, t *told) Word {
	return Word{t.entry, w.id, t.id, cmp.Or(t.of, t.kind), tongma.ParticipantID(b.names[t.from]), tongma.ParticipantID(b.names[t.to]), tongma.ParticipantID(b.names[t.payer]),
		tongma.Money{Minor: t.minor, Currency: t.currency}, t.key, t.maker}
}

// Words returns the words of people on a window's instructions that wait for a second
// person, in the order in which they were said.
func (b *Book) Words(id tongma.WindowID) (out []Word) {
	w := b.window(id)
	if w == nil || w.state != WindowInstructed {
		return nil
	}
	for i := range w.told {
		if t := &w.told[i]; t.kind == KindWord && w.waiting(KindWord, t.id) == t {
			out = append(out, b.word(w, t))
		}
	}
	return out
}

// Asked returns the covers of a window that somebody was asked for and that have no
// end yet, in the order in which they were asked for: the agent may have moved them.
func (b *Book) Asked(id tongma.WindowID) (out []Word) {
	w := b.window(id)
	if w == nil || w.state != WindowInstructed {
		return nil
	}
	for i := range w.told {
		if t := &w.told[i]; t.kind == KindCoverAsked && w.waiting(KindCoverAsked, t.id) == t {
			out = append(out, b.word(w, t))
		}
	}
	return out
}

// Refusals returns the debits and covers of a window that the agent refused, in the
// order in which it did.
func (b *Book) Refusals(id tongma.WindowID) (out []Word) {
	w := b.window(id)
	if w == nil {
		return nil
	}
	for i := range w.told {
		if t := &w.told[i]; t.kind == KindShort || t.kind == KindCoverRefused {
			out = append(out, b.word(w, t))
		}
	}
	return out
}

// Told returns what stands of an instruction of a window: that it moved, or that it
// was refused. That it moved is the later word of the two.
func (b *Book) Told(id tongma.WindowID, instruction string) (Word, bool) {
	w := b.window(id)
	if w == nil {
		return Word{}, false
	}
	for _, k := range [...]Kind{KindSettle, KindCover, KindShort, KindCoverRefused} {
		if t := w.said(k, instruction); t != nil {
			return b.word(w, t), true
		}
	}
	return Word{}, false
}
