package settle

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// ByHand is what a person says that the settlement agent did with an instruction:
// where no agent is connected, or it does not answer.
type ByHand struct {
	Window      tongma.WindowID
	Instruction string // its id: of an instruction that is due, of a credit's further try that is under way, or of a cover that was asked for
	Part        int64  // Confirm: how much of it moved, in minor units; zero is all of it
	Evidence    string // where it is to be seen, one line of up to 64 bytes: "camt.053 0817, entry 12"
	By          string // the person, one line of up to 32 bytes
	DryRun      bool   // nothing is written
}

// HandDone is what came of it.
type HandDone struct {
	Sheet  clearing.Sheet  // of the window, as it stands now
	Entry  uint64          // in the journal; zero if nothing was written
	At     time.Time       // of the entry
	Waits  bool            // it waits for a second person to say the same
	Exists bool            // it stood already
	DryRun bool            // it would have been written, and was not
	Words  []clearing.Word // all words on this window that wait for a second person
	Money  string          // what happened to the money, and what comes next, in a sentence
}

// Confirm writes down that an instruction was carried out, all of it or a part. It
// takes two people: the first one's word changes nothing; when a second one says the
// same, on the same evidence, it stands as if the agent had said it, and when every
// leg is confirmed the window is settled. The same again changes nothing. Of a credit
// that the agent has refused they say so that it was paid by other means.
//
// Reasons: FieldInvalid (/by, /evidence), WindowUnknown, WindowNotClosed,
// StateConflict (it is being settled at this moment, or somebody was asked to cover it:
// Detail says which), InstructionUnknown (it is not
// due, or the books have the opposite: Detail says which), AgentContradicts (the agent
// is connected and says otherwise), the exists-with-different ones (another word on it
// waits: Dismiss it first), MakerIsChecker (the first one's name in other letters),
// CreditsWait, MoreThanDue, and those of the Ledger.
func (s *Settler) Confirm(ctx context.Context, h ByHand) (HandDone, error) {
	return s.byHand(ctx, h, tongma.NoReason)
}

// Refuse writes down that the agent will not carry out an instruction to collect, or a
// cover that was asked for, under the same rules as Confirm. Whoever should have paid
// an instruction is then short and suspended, and Plan says who is asked next. A
// credit that the agent refuses stays due, so that there is nothing to write:
// FieldInvalid.
func (s *Settler) Refuse(ctx context.Context, h ByHand) (HandDone, error) {
	h.Part = 0
	return s.byHand(ctx, h, tongma.AgentRejected)
}

// Dismiss takes back the word that waits on an instruction: its maker may, or another.
// Part and Evidence are not looked at. Reasons: FieldInvalid, WindowUnknown,
// ProposalUnknown, StateConflict (two people have said it: it stands).
func (s *Settler) Dismiss(ctx context.Context, h ByHand) (HandDone, error) {
	r, done, err := s.hand(ctx, &h)
	if err != nil {
		return done, err
	}
	defer s.end(h.Window)
	err = r.write(clearing.Entry{Kind: clearing.KindWordRejected, Window: h.Window, SchemeRef: h.Instruction, Checker: h.By}, &done)
	done.Money = "no money moves by this, and the word on the instruction does not wait any more"
	return done.with(r), err
}

// Words returns the words of people on a window's instructions that wait for a second
// person.
func (s *Settler) Words(ctx context.Context, id tongma.WindowID) (out []clearing.Word, err error) {
	err = s.opts.Ledger.Read(ctx, func(b *clearing.Book) { out = b.Words(id) })
	return out, err
}

// hand looks at what a person says before the books do. Without an error the window is
// the caller's, who ends that.
func (s *Settler) hand(ctx context.Context, h *ByHand) (r *run, done HandDone, err error) {
	h.By, h.Evidence = strings.Join(strings.Fields(h.By), " "), strings.TrimSpace(h.Evidence)
	if !oneLine(h.By, 32) {
		return nil, done, &tongma.Error{Op: "settle.by-hand", Reason: tongma.FieldInvalid, Field: "/by", Detail: "the person is named in one line of up to 32 bytes"}
	}
	if !s.begin(h.Window) {
		return nil, done, &tongma.Error{Op: "settle", Reason: tongma.StateConflict, Field: h.Window.String(), Detail: "it is being settled already"}
	}
	r = &run{Settler: s, ctx: ctx, id: h.Window}
	if err = r.look(); err == nil && r.sheet.State == clearing.WindowOpen {
		err = &tongma.Error{Op: "settle.by-hand", Reason: tongma.WindowNotClosed, Field: h.Window.String()}
	}
	if err != nil {
		s.end(h.Window)
		return nil, done, err
	}
	done.DryRun = h.DryRun
	return r, done, nil
}

func oneLine(s string, limit int) bool {
	return s != "" && len(s) <= limit && !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' || c == 0x7f || c == '\uFFFD' || c == '\u2028' || c == '\u2029'
	})
}

func (d HandDone) with(r *run) HandDone {
	_ = r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) { d.Words = b.Words(r.id) })
	d.Sheet = r.sheet
	return d
}

func (s *Settler) byHand(ctx context.Context, h ByHand, refused tongma.Reason) (HandDone, error) {
	r, done, err := s.hand(ctx, &h)
	if err != nil {
		return done, err
	}
	defer s.end(h.Window)
	if !oneLine(h.Evidence, tongma.MaxKey) || h.Part < 0 {
		return done.with(r), &tongma.Error{Op: "settle.by-hand", Reason: tongma.FieldInvalid, Field: "/evidence", Detail: "one line of up to 64 bytes says where it is to be seen, and a part is not less than nothing"}
	}
	if known, err := r.stood(&h, refused, &done); known || err != nil {
		return done.with(r), err
	}
	if r.sheet.State == clearing.WindowClosed && !h.DryRun { // nobody was told to pay by us: by people, then
		if err := r.book(clearing.Entry{Kind: clearing.KindInstruct, Window: h.Window, Hash: r.sheet.Hash}); err != nil {
			return done.with(r), err
		}
	}
	e, t, err := r.meant(&h, refused)
	if err == nil {
		err = r.contradicts(t, &e)
	}
	if err == nil {
		err = r.say(&h, e, &done)
	}
	return done.with(r), err
}

// stood tells whether the books have a final word on the instruction: the same, which
// is a repeat, or another one.
func (r *run) stood(h *ByHand, refused tongma.Reason, done *HandDone) (known bool, err error) {
	var was clearing.Word
	if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) { was, known = b.Told(h.Window, h.Instruction) }); err != nil || !known {
		return false, err
	}
	moved := was.Kind == clearing.KindSettle || was.Kind == clearing.KindCover
	if moved == (refused == tongma.NoReason) && (h.Part == 0 || h.Part == was.Amount.Minor) {
		done.Exists, done.Money = true, "nothing was written now, it stood already: "+moneyOf(was.Kind, was.Amount)
		return true, nil
	}
	return true, &tongma.Error{Op: "settle.by-hand", Reason: tongma.InstructionUnknown, Field: h.Instruction, Detail: "it is not due any more: " + moneyOf(was.Kind, was.Amount)}
}

// meant finds what the instruction asks for, and the entry that the word stands for.
func (r *run) meant(h *ByHand, refused tongma.Reason) (clearing.Entry, Transfer, error) {
	var asked []clearing.Word
	if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) { asked = b.Asked(r.id) }); err != nil {
		return clearing.Entry{}, Transfer{}, err
	}
	part := func(whole tongma.Money) tongma.Money {
		if h.Part != 0 {
			whole.Minor = h.Part
		}
		return whole
	}
	for _, a := range asked {
		if a.Instruction == h.Instruction {
			t := r.askedOf(&a)
			kind := clearing.KindCover
			if refused != tongma.NoReason {
				kind = clearing.KindCoverRefused
			}
			return clearing.Entry{Kind: kind, Window: r.id, Debtor: a.Debtor, Asker: a.Creditor, Creditor: a.Payer, Amount: part(a.Amount), SchemeRef: a.Instruction, Reason: refused}, t, nil
		}
	}
	for _, in := range clearing.Instruct(r.sheet) {
		if in.Debtor == "" && isTry(h.Instruction, in.ID) {
			in.ID = h.Instruction
		}
		switch {
		case in.ID != h.Instruction:
		case refused != tongma.NoReason && in.Debtor == "":
			return clearing.Entry{}, Transfer{}, &tongma.Error{Op: "settle.by-hand", Reason: tongma.FieldInvalid, Field: h.Instruction, Detail: "a credit that the agent refuses stays due: have it tried again, or say how it was paid"}
		case refused != tongma.NoReason:
			return in.Refuse(refused), r.transfer(in), nil
		default:
			e := in.Confirm()
			e.Amount = part(e.Amount)
			for _, a := range asked {
				if a.Debtor == in.Debtor && a.Creditor == in.Creditor && a.Amount.Currency == in.Amount.Currency {
					return e, Transfer{}, &tongma.Error{Op: "settle.by-hand", Reason: tongma.StateConflict, Field: h.Instruction,
						Detail: string(a.Payer) + " was asked to cover it: say first what became of instruction " + a.Instruction}
				}
			}
			return e, r.transfer(in), nil
		}
	}
	return clearing.Entry{}, Transfer{}, &tongma.Error{Op: "settle.by-hand", Reason: tongma.InstructionUnknown, Field: h.Instruction}
}

// contradicts asks the agent, if one is connected, whether it says otherwise. That it
// does not know, or has not decided, is no contradiction: that is why people say it. Nor
// is it one that it refused a credit: what it does not carry out may be paid by other
// means, of which it need not know.
func (r *run) contradicts(t Transfer, e *clearing.Entry) error {
	agent := r.agent(t.Amount.Currency)
	if agent == nil {
		return nil
	}
	w := agent.Ask(r.ctx, t).sound(t)
	own, _, further := strings.Cut(t.ID, "-")
	switch refused := w.Outcome == Rejected; {
	case t.Debtor != "":
	case further && w.Outcome == Unheard && r.wasSent(t.ID):
		return &tongma.Error{Op: "settle.by-hand", Reason: tongma.StateConflict, Field: t.ID, Detail: notHeardYet}
	case further && (refused || w.Outcome == Unheard):
		return &tongma.Error{Op: "settle.by-hand", Reason: tongma.InstructionUnknown, Field: t.ID, Detail: "nothing is under way under that id: speak of instruction " + own}
	case refused:
		return r.triedElse(t)
	}
	moved := w.Outcome == Settled || w.Outcome == Partly
	confirms := e.Kind == clearing.KindSettle || e.Kind == clearing.KindCover
	if (moved && (!confirms || w.Amount != e.Amount)) || (w.Outcome == Rejected && confirms) {
		says := "it refused the instruction"
		if moved {
			says = "it moved " + w.Amount.String()
		}
		return &tongma.Error{Op: "settle.by-hand", Reason: tongma.AgentContradicts, Field: t.ID, Detail: says}
	}
	return nil
}

// notHeardYet is what is to be done about a credit that was sent again and may be on its
// way.
const notHeardYet = "it was sent again, and the agent has not heard of it yet: have the window settled, which sends it once more under the same id"

// wasSent tells whether the books have that an instruction was sent again.
func (r *run) wasSent(id string) (sent bool) {
	_ = r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		sent = slices.ContainsFunc(b.Retried(r.id), func(w clearing.Word) bool { return w.Instruction == id })
	})
	return sent
}

// triedElse says why a credit of which the agent refused an id may not be said to be
// paid: the agent moved it under the id of a further try, or has not said what became of
// that. Otherwise it could be paid twice.
func (r *run) triedElse(t Transfer) error {
	own, agent := t.ID, r.agent(t.Amount.Currency)
	for n := max(1, r.refusedIDs(own)); n < maxTries; n++ {
		t.ID = tryID(own, n+1)
		switch w := agent.Ask(r.ctx, t).sound(t); w.Outcome {
		case Rejected:
			r.refuses(own, n+1)
		case Unheard:
			if !r.wasSent(t.ID) {
				return nil
			}
			return &tongma.Error{Op: "settle.by-hand", Reason: tongma.StateConflict, Field: t.ID, Detail: notHeardYet}
		case Settled, Partly:
			return &tongma.Error{Op: "settle.by-hand", Reason: tongma.AgentContradicts, Field: t.ID, Detail: "it moved " + w.Amount.String() + " when it was tried again: have the window settled"}
		default:
			return &tongma.Error{Op: "settle.by-hand", Reason: tongma.StateConflict, Field: t.ID, Detail: "it was tried again, and what became of instruction " + t.ID + " is not known: say that first"}
		}
	}
	return nil
}

// say writes down the word of a first person, or of a second one what it stands for.
func (r *run) say(h *ByHand, e clearing.Entry, done *HandDone) error {
	word := e
	word.Kind, word.Key, word.Maker = clearing.KindWord, h.Evidence, h.By
	var waits bool
	if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		for _, w := range b.Words(r.id) {
			waits = waits || w.Instruction == h.Instruction
		}
	}); err != nil {
		return err
	}
	if waits {
		e.Key, e.Checker = h.Evidence, h.By
		err := r.write(e, done)
		if tongma.ReasonOf(err) != tongma.MakerIsChecker {
			if done.Money = moneyOf(e.Kind, e.Amount); err != nil || h.DryRun {
				return err
			}
			return r.settledNow()
		}
	}
	err := r.write(word, done)
	done.Waits = err == nil
	done.Money = "no money is booked by this until a second person says the same: " + moneyOf(e.Kind, e.Amount)
	return err
}

// write submits an entry, or of a dry run only asks what would be said to it.
func (r *run) write(e clearing.Entry, done *HandDone) (err error) {
	var res clearing.Result
	if done.DryRun && r.sheet.State == clearing.WindowClosed { // it would be instructed first
		return nil
	}
	if done.DryRun {
		err = r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) { res.Verdict = b.Propose(&e, b.Clock()) })
	} else if res, err = r.opts.Ledger.Submit(r.ctx, e); err == nil && res.Write {
		done.Entry, done.At = res.Entry.Number, time.UnixMilli(res.Entry.Time).UTC()
	}
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "settle.by-hand", Reason: res.Reason, Field: e.SchemeRef}
	}
	if err == nil {
		done.Exists = res.Exists
		err = r.look()
	}
	return err
}

// settledNow settles the window if nothing of it is due any more.
func (r *run) settledNow() error {
	if r.sheet.State != clearing.WindowInstructed || !r.allDone() {
		return nil
	}
	return r.book(clearing.Entry{Kind: clearing.KindSettled, Window: r.id})
}

// moneyOf says what an entry makes of the money.
func moneyOf(k clearing.Kind, m tongma.Money) string {
	switch k {
	case clearing.KindSettle:
		return m.String() + " moved, and that much of the leg is settled"
	case clearing.KindShort:
		return m.String() + " did not move, and its debtor is short and suspended"
	case clearing.KindCover:
		return m.String() + " was paid for the one who is short"
	}
	return m.String() + " was not paid for the one who is short"
}

// askedOf is the transfer of a cover that was asked for, as it was sent.
func (r *run) askedOf(a *clearing.Word) Transfer {
	t := r.transfer(clearing.Instruction{ID: a.Instruction, Window: r.id, Debtor: a.Payer, Creditor: a.Creditor, Participant: a.Payer, Debit: true, Amount: a.Amount, Sheet: r.sheet.Hash})
	t.Prefunding = a.Payer == a.Debtor
	return t
}
