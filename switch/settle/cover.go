package settle

import (
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// coverOf is the transfer by which a payer gives for one who is short.
func (r *run) coverOf(l short, payer tongma.ParticipantID, minor int64) Transfer {
	t := r.transfer(clearing.Instruction{ID: coverID(&r.sheet, l, payer), Window: r.id, Debtor: payer, Creditor: l.creditor, Participant: payer, Debit: true,
		Amount: tongma.Money{Minor: minor, Currency: l.currency}, Sheet: r.sheet.Hash})
	t.Prefunding = payer == l.debtor
	return t
}

// search looks for what was sent for those who are short and not written down: a
// debit that was tried again, and covers by whoever the rules may have asked. All of
// them are looked up with the agent under the ids that are due now. Without it, money
// that the agent moved just before we stopped could be asked for a second time, if
// the rules or the funds have changed meanwhile.
func (r *run) search() error {
	for _, l := range shorts(&r.sheet) {
		found, err := r.searchDebit(l)
		for _, payer := range r.payers(l) {
			if !found && err == nil {
				found, err = r.searchCover(l, payer)
			}
		}
		if err != nil {
			return err
		}
		if found { // what is settled of the leg has changed, and with it the ids
			return r.search()
		}
	}
	return nil
}

// payers lists who may have been asked to pay for one who is short.
func (r *run) payers(l short) []tongma.ParticipantID {
	all := []tongma.ParticipantID{l.debtor}
	if rules := r.rules(l.currency); rules != nil {
		if rules.Fund != "" {
			all = append(all, rules.Fund)
		}
		for _, s := range rules.LossSharing {
			all = append(all, s.Participant)
		}
	}
	return all
}

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
		case Settled, Partly:
			return true, r.confirm(t, w, e)
		case Rejected: // written down, so that the next try has an id of its own
			return true, r.refuse(in, e)
		default:
			r.undecided(e, w)
		}
	}
	return false, nil
}

func (r *run) searchCover(l short, payer tongma.ParticipantID) (found bool, err error) {
	agent := r.agent(l.currency)
	if agent == nil {
		return false, nil
	}
	t := r.coverOf(l, payer, l.due)
	w := agent.Ask(r.ctx, t).sound(t)
	if l.creditor != "" && (w.Outcome == Settled || w.Outcome == Partly) {
		// No advice tells what moved between two participants. But the same id with
		// another amount is refused, so what the rules ask for now is asked for again.
		if t.Amount.Minor, err = r.planned(l, payer); err != nil {
			return false, err
		}
		if w = (Word{}); t.Amount.Minor > 0 {
			w = agent.Move(r.ctx, t).sound(t)
		}
	}
	e := Event{From: payer, To: l.creditor, For: l.debtor, Money: t.Amount, Ref: t.ID}
	switch w.Outcome {
	case Unheard, Rejected:
	case Settled, Partly:
		return true, r.covered(l, t, w, e)
	default:
		r.undecided(e, w)
	}
	return false, nil
}

// planned is what the rules ask a payer for now.
func (r *run) planned(l short, payer tongma.ParticipantID) (int64, error) {
	steps, err := r.plan()
	for _, s := range steps {
		if s.Payer == payer && s.Short == l.debtor && s.Creditor == l.creditor && s.Amount.Currency == l.currency {
			return s.Amount.Minor, err
		}
	}
	return 0, err
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
	steps, err := r.plan()
	if err != nil {
		return false, err
	}
	for _, s := range steps {
		if r.doubt[s.Amount.Currency] || (s.Kind == StepRecast && len(r.doubt) > 0) {
			continue // an answer that is still to come could contradict; and a new sheet gives all transfers new ids
		}
		switch s.Kind {
		case StepPrefunding, StepGuarantee, StepShare:
			r.steps++
			return r.ask(s)
		case StepRecast:
			if r.stuck[s.Amount.Currency] {
				continue
			}
			r.steps++
			return true, r.recast(s.Amount.Currency)
		}
	}
	return false, nil
}

// ask has somebody pay for one who is short.
func (r *run) ask(s Step) (again bool, err error) {
	var l short
	for _, one := range shorts(&r.sheet) {
		if one.debtor == s.Short && one.creditor == s.Creditor && one.currency == s.Amount.Currency {
			l = one
		}
	}
	t := r.coverOf(l, s.Payer, s.Amount.Minor)
	e := Event{From: s.Payer, To: l.creditor, For: l.debtor, Money: t.Amount, Ref: t.ID}
	w, ok := r.move(t)
	switch {
	case !ok:
		e.Kind, e.Text = "wait", "no agent is connected: people confirm it"
		r.open(e)
	case w.Outcome == Settled:
		return true, r.covered(l, t, w, e)
	case w.Outcome == Partly:
		r.refused[Account{s.Payer, s.Amount.Currency}] = true
		return true, r.covered(l, t, w, e)
	case w.Outcome == Rejected:
		r.refused[Account{s.Payer, s.Amount.Currency}] = true
		e.Kind = "rejected"
		r.tell(e)
	default:
		r.undecided(e, w)
	}
	return true, nil
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
