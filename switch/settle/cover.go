package settle

import (
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// nobody says why there is no agent to ask, and what is to be done.
func (r *run) nobody() string {
	if r.opts.Directory != nil && r.sheet.Model != schemes.DefaultModel {
		if _, named := r.opts.Directory().SettlementModel(r.sheet.Model); !named {
			return "the directory has dropped the model, and its agent with it: put it back, or two people say what became of it"
		}
	}
	return "no agent is connected: two people say what became of it"
}

// search looks for what was sent for those who are short and has no end in the books:
// covers that the journal says were asked for, debits that it says were tried again, and
// what the agent may have moved after all, though it was taken for refused. Nothing of it
// is guessed: what was asked for, or sent again, is an entry with its amount and its id. Without it, money that the agent moved just before we
// stopped could be asked for a second time.
func (r *run) search() error {
	var asked, refused, words, again []clearing.Word
	if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		asked, refused, words, again = b.Asked(r.id), b.Refusals(r.id), b.Words(r.id), b.Retried(r.id)
	}); err != nil {
		return err
	}
	for _, w := range words { // money may have moved: nothing is drawn up anew meanwhile
		r.said[w.Instruction] = true
		r.open(Event{Kind: "wait", From: w.Debtor, To: w.Creditor, Money: w.Amount, Ref: w.Instruction, Text: "a person's word on it waits for a second person"})
	}
	if !r.how.Retry {
		for _, w := range refused {
			if w.Kind == clearing.KindCoverRefused {
				r.refused[Account{w.Payer, w.Amount.Currency}] = true
			}
		}
	}
	for i := range asked {
		if err := r.searchCover(&asked[i]); err != nil {
			return err
		}
	}
	for i := range again {
		if err := r.searchRetry(&again[i]); err != nil {
			return err
		}
	}
	for again := true; again; {
		again = false
		for _, l := range shorts(&r.sheet) {
			if waits, err := r.answerWaits(l); waits || err != nil {
				if err != nil {
					return err
				}
				continue
			}
			found, err := r.searchLate(l, refused)
			if err == nil && !found {
				found, err = r.searchDebit(l)
			}
			if err != nil {
				return err
			}
			if again = again || found; found { // what is settled of the leg has changed, and with it the ids
				break
			}
		}
	}
	return nil
}

// answerWaits tells whether a cover of a leg has no end yet, or its debit, which was tried
// again. Until it has, nothing else counts for the leg: if the agent moves both, it is this
// that is booked, and what came beside it reconciliation shows.
func (r *run) answerWaits(l short) (waits bool, err error) {
	err = r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		for _, a := range append(b.Asked(r.id), b.Retried(r.id)...) {
			waits = waits || (a.Debtor == l.debtor && a.Creditor == l.creditor && a.Amount.Currency == l.currency)
		}
	})
	return waits, err
}

// searchLate asks whether the agent moved after all what the books have as refused:
// people may have said so too early, or the agent itself. What it moved counts.
func (r *run) searchLate(l short, refused []clearing.Word) (found bool, err error) {
	agent, form := r.agent(l.currency), map[clearing.Kind]bool{}
	for i := range refused {
		x := &refused[i]
		if agent == nil || x.Debtor != l.debtor || x.Creditor != l.creditor || x.Amount.Currency != l.currency {
			continue
		}
		var was clearing.Word
		if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) { was, _ = b.Told(r.id, x.Instruction) }); err != nil {
			return false, err
		}
		if was.Kind != x.Kind { // known since
			continue
		}
		t := r.transfer(clearing.Instruction{ID: x.Instruction, Window: r.id, Debtor: x.Debtor, Creditor: x.Creditor, Participant: x.Debtor, Debit: true, Amount: x.Amount})
		if x.Kind == clearing.KindCoverRefused {
			t = r.askedOf(x)
		}
		w := agent.Ask(r.ctx, t).sound(t)
		if w.Outcome == Rejected { // of debit and cover, the latest word counts
			form[x.Kind] = w.Form
			r.form[legKey{l.debtor, l.creditor, l.currency}] = form[clearing.KindShort] || form[clearing.KindCoverRefused]
		}
		if (w.Outcome != Settled && w.Outcome != Partly) || w.Amount.Minor > l.due {
			continue // if it is more than is due now, reconciliation shows it
		}
		e := Event{From: t.Debtor, To: t.Creditor, Money: t.Amount, Ref: t.ID}
		if x.Kind == clearing.KindCoverRefused {
			e.For = x.Debtor
			return true, r.covered(short{x.Debtor, x.Creditor, l.currency, l.due, l.settled}, t, w, e)
		}
		t.Sheet = [32]byte{} // of the sheet in force then
		return true, r.confirm(t, w, e)
	}
	return false, nil
}

// searchRetry finds out what became of an instruction that the journal says was sent
// again. The agent is asked for its status; if it has never heard of it, it is sent once
// more under the same id, however long ago that was: it may be on its way. A credit is
// only noted: it is looked at when its turn comes.
func (r *run) searchRetry(a *clearing.Word) error {
	if a.Debtor == "" {
		r.sent[a.Instruction] = true
		return nil
	}
	t := r.transfer(clearing.Instruction{ID: a.Instruction, Window: r.id, Debtor: a.Debtor, Creditor: a.Creditor, Participant: a.Debtor, Debit: true, Amount: a.Amount, Sheet: r.sheet.Hash})
	e := Event{From: a.Debtor, To: a.Creditor, Money: a.Amount, Ref: a.Instruction}
	agent := r.agent(a.Amount.Currency)
	if agent == nil {
		e.Kind, e.Text = "wait", r.nobody()
		r.open(e)
		return nil
	}
	w := agent.Ask(r.ctx, t).sound(t)
	if w.Outcome == Unheard {
		w, _ = r.move(t)
	}
	return r.became(t, w, e)
}

// searchDebit asks what became of the debit of one who is short under the id that it has
// now. Nothing was sent under it that the journal does not know of, unless an older
// version wrote it.
func (r *run) searchDebit(l short) (found bool, err error) {
	agent := r.agent(l.currency)
	for _, in := range clearing.Instruct(r.sheet) {
		if agent == nil || in.Debtor != l.debtor || in.Creditor != l.creditor || in.Amount.Currency != l.currency {
			continue
		}
		t := r.transfer(in)
		e := Event{From: in.Debtor, To: in.Creditor, Money: in.Amount, Ref: in.ID}
		switch w := agent.Ask(r.ctx, t).sound(t); w.Outcome {
		case Unheard:
			return false, nil
		case Settled, Partly, Rejected:
			return true, r.became(t, w, e)
		default:
			r.undecided(e, w)
		}
	}
	return false, nil
}

// searchCover finds out what became of a cover that the journal says was asked for. The
// agent is asked for its status; if it has never heard of it, it is sent again under
// the same id and of the same amount, since it was decided.
func (r *run) searchCover(a *clearing.Word) error {
	l := short{debtor: a.Debtor, creditor: a.Creditor, currency: a.Amount.Currency}
	for _, one := range shorts(&r.sheet) {
		if one.debtor == l.debtor && one.creditor == l.creditor && one.currency == l.currency {
			l = one
		}
	}
	agent, t := r.agent(l.currency), r.askedOf(a)
	e := Event{From: a.Payer, To: a.Creditor, For: a.Debtor, Money: a.Amount, Ref: a.Instruction}
	if agent == nil {
		e.Kind, e.Text = "wait", r.nobody()
		r.open(e)
		return nil
	}
	w := agent.Ask(r.ctx, t).sound(t)
	if w.Outcome == Unheard && a.Amount.Minor <= l.due {
		w, _ = r.move(t)
	}
	return r.answered(l, t, w, e)
}

// covered writes down what somebody gave for one who is short.
func (r *run) covered(l short, t Transfer, w Word, e Event) error {
	entry := clearing.Entry{Kind: clearing.KindCover, Window: r.id, Debtor: l.debtor, Asker: l.creditor, Creditor: t.Debtor, Amount: w.Amount, SchemeRef: t.ID}
	if err := r.book(entry); err != nil {
		return err
	}
	if t.Debtor != l.debtor {
		if r.paid != nil { // else it is read off the books, this cover with it
			r.paid[Account{t.Debtor, l.currency}] += w.Amount.Minor
		}
	}
	e.Money = w.Amount
	e.Kind = r.layer(l, t.Debtor).String()
	r.tell(e)
	return nil
}

// layer tells in which capacity somebody pays.
func (r *run) layer(l short, payer tongma.ParticipantID) StepKind {
	rules := r.rules(l.currency)
	switch {
	case payer == l.debtor:
		return StepPrefunding
	case rules != nil && payer == rules.Fund:
		return StepGuarantee
	}
	return StepShare
}

// cover does the next thing that the rules allow for those who are short, and tells
// whether the transfers are to be looked at again.
func (r *run) cover() (again bool, err error) {
	if r.how.Steps != 0 && r.steps >= max(r.how.Steps, 0) {
		return false, nil
	}
	s, id, err := r.choose()
	if err != nil || s.Kind == 0 {
		return false, err
	}
	if r.steps++; s.Kind == StepRecast {
		return true, r.recast(s.Amount.Currency)
	}
	return true, r.ask(s, id)
}

// choose picks the next step that may be taken now; none if its kind is zero. Who is to
// pay is in the books then, under the id that it returns.
func (r *run) choose() (s Step, id string, err error) {
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-r.ctx.Done():
		return s, "", &tongma.Error{Op: "settle", Reason: tongma.ShuttingDown, Field: r.id.String(), Err: r.ctx.Err()}
	}
	r.paid = nil // others may have asked since
	steps, err := r.plan()
	if err != nil {
		return s, "", err
	}
	for _, s := range steps {
		if r.doubt[s.Amount.Currency] || (s.Kind == StepRecast && len(r.doubt) > 0) {
			continue // an answer that is still to come could contradict; and a new sheet gives all transfers new ids
		}
		if r.how.Steps == 0 && r.formal(s) {
			continue
		}
		switch s.Kind {
		case StepPrefunding, StepGuarantee, StepShare:
			id, err := r.promise(s)
			return s, id, err
		case StepRecast:
			if !r.stuck[s.Amount.Currency] {
				return s, "", nil
			}
		}
	}
	return Step{}, "", nil
}

// formal tells whether a step would have others pay, or wait, because the agent refused a
// message for its form.
func (r *run) formal(s Step) bool {
	for leg, form := range r.form {
		if form && leg.currency == s.Amount.Currency && (s.Kind == StepRecast || (leg.debtor == s.Short && leg.creditor == s.Creditor)) {
			return true
		}
	}
	return false
}

// legOf finds the leg that a step is about.
func (r *run) legOf(s Step) (l short) {
	for _, one := range shorts(&r.sheet) {
		if one.debtor == s.Short && one.creditor == s.Creditor && one.currency == s.Amount.Currency {
			l = one
		}
	}
	return l
}

// promise writes down that somebody is asked to pay for one who is short, before it is.
// Stopped behind that, searchCover finds it and asks the agent.
func (r *run) promise(s Step) (id string, err error) {
	l, tries := r.legOf(s), 0
	if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		for _, w := range b.Refusals(r.id) {
			if w.Kind == clearing.KindCoverRefused && w.Payer == s.Payer && w.Debtor == l.debtor && w.Creditor == l.creditor && w.Amount.Currency == l.currency {
				tries++
			}
		}
	}); err != nil {
		return "", err
	}
	id = coverID(&r.sheet, l, s.Payer, tries)
	return id, r.book(clearing.Entry{Kind: clearing.KindCoverAsked, Window: r.id, Debtor: l.debtor, Asker: l.creditor, Creditor: s.Payer, Amount: s.Amount, SchemeRef: id})
}

// ask has somebody pay for one who is short, as it was promised.
func (r *run) ask(s Step, id string) error {
	l := r.legOf(s)
	t := r.askedOf(&clearing.Word{Instruction: id, Debtor: l.debtor, Creditor: l.creditor, Payer: s.Payer, Amount: s.Amount})
	e := Event{From: s.Payer, To: l.creditor, For: l.debtor, Money: t.Amount, Ref: t.ID}
	w, ok := r.move(t)
	if !ok {
		e.Kind, e.Text = "wait", r.nobody()
		r.open(e)
		return nil
	}
	return r.answered(l, t, w, e)
}

// answered writes down what came of a cover that was asked for, if that is known.
func (r *run) answered(l short, t Transfer, w Word, e Event) error {
	switch w.Outcome {
	case Settled, Partly:
		if w.Outcome == Partly { // the rest will not come
			r.refused[Account{t.Debtor, l.currency}] = true
		}
		return r.covered(l, t, w, e)
	case Rejected:
		r.refused[Account{t.Debtor, l.currency}] = true
		if w.Form {
			r.form[legKey{l.debtor, l.creditor, l.currency}], e.Text = true, refusedForm
		}
		entry := clearing.Entry{Kind: clearing.KindCoverRefused, Window: r.id, Debtor: l.debtor, Asker: l.creditor, Creditor: t.Debtor, Amount: t.Amount, SchemeRef: t.ID, Reason: tongma.AgentRejected}
		if err := r.book(entry); err != nil {
			return err
		}
		e.Kind = "rejected"
		r.tell(e)
	default:
		r.undecided(e, w)
	}
	return nil
}

// rehearse says what settle would do, as far as it can be known beforehand: if every
// debit is collected, and for whoever is short already, what the rules would do.
func (r *run) rehearse() error {
	for _, in := range clearing.Instruct(r.sheet) {
		kind := "collected"
		if in.Debtor == "" || in.Creditor != "" {
			kind = "paid"
		}
		if !r.short(&in) {
			r.report.Events = append(r.report.Events, Event{Kind: kind, From: in.Debtor, To: in.Creditor, Money: in.Amount, Ref: in.ID})
		}
	}
	return r.wait()
}

// Rules returns the rules of a model as Plan takes them.
func Rules(d *schemes.Directory, model string) func(tongma.Currency) *schemes.DefaultRules {
	return func(c tongma.Currency) *schemes.DefaultRules {
		r, _ := d.DefaultRules(model, c)
		return r
	}
}
