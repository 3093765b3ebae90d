package settle

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// transfers sends what is due: all debits, then the credits of each currency of
// which no debit is due any more. Several are with the agent at once; what it says is
// written down in the order in which they were sent. Stopped meanwhile, each is sent again
// under its own id.
func (r *run) transfers() error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	var flying []*flight
	for {
		for len(flying) < r.opts.AtOnce {
			in, ok := r.next()
			if !ok {
				break
			}
			f, err := r.send(ctx, in)
			if err != nil {
				return landed(flying, cancel, err)
			}
			flying = append(flying, f)
		}
		if len(flying) == 0 {
			return nil
		}
		first := flying[0]
		flying = flying[1:]
		if err := r.instructed(first); err != nil {
			return landed(flying, cancel, err)
		}
	}
}

// landed waits for what is still with the agent, when nothing more can be written down.
func landed(flying []*flight, cancel context.CancelFunc, err error) error {
	cancel()
	for _, f := range flying {
		<-f.done
	}
	return err
}

// flight is one instruction that is with the agent.
type flight struct {
	in    clearing.Instruction
	word  Word
	took  time.Duration
	asked bool          // the agent was
	done  chan struct{} // closed when word and took are there
}

// send has the agent be told of an instruction, which goes on while others are sent. A
// credit of which an id was refused waits for its turn: its next id follows from what the
// agent says of the others.
func (r *run) send(ctx context.Context, in clearing.Instruction) (*flight, error) {
	f := &flight{in: in, done: make(chan struct{})}
	agent := r.agent(in.Amount.Currency)
	r.asked[in.ID] = true
	if r.short(&in) {
		r.retried[legOf(&in)] = true
		if agent != nil {
			// Stopped behind this, searchRetry finds it, and asks the agent.
			if err := r.book(in.Retry()); err != nil {
				return nil, err
			}
		}
	}
	if agent == nil || (in.Debtor == "" && r.knownRefused(in.ID) > 0) {
		close(f.done)
		return f, nil
	}
	t := r.transfer(in)
	told := func() {
		began := time.Now()
		f.word, f.asked = Word{Outcome: Unheard}, true
		if r.resumed { // agents look for duplicates within a day, or some days: behind that they would move it again
			f.word = agent.Ask(ctx, t).sound(t)
		}
		if !f.word.final() {
			f.word = r.pursue(ctx, agent, t, f.word)
		}
		f.took = time.Since(began)
		close(f.done)
	}
	if r.opts.AtOnce == 1 {
		told()
	} else {
		go told()
	}
	return f, nil
}

// next returns the first instruction that was not sent in this call and may be. Those of
// a currency in which the agent is silent come behind those of others, and last those to
// which it was silent in an earlier call: one agent that is down, or one instruction that it
// never answers, holds up nothing else. Once it has been silent for long, the rest is left
// for the next call.
func (r *run) next() (best clearing.Instruction, ok bool) {
	waits := map[tongma.Currency]bool{} // debits are due
	failed := map[legKey]bool{}
	for _, l := range shorts(&r.sheet) {
		failed[legKey{l.debtor, l.creditor, l.currency}] = true
	}
	rank := 3
	for _, in := range r.instructions() {
		if in.Debtor != "" && in.Creditor == "" {
			waits[in.Amount.Currency] = true
		}
		leg := legOf(&in)
		switch {
		case r.asked[in.ID], in.Debtor == "" && waits[in.Amount.Currency]:
		case r.retried[leg], failed[leg] && (!r.how.Retry || r.doubt[in.Amount.Currency]): // a cover may be on its way
		default:
			if n := r.rank(&in); n < rank {
				if best, ok, rank = in, true, n; rank == 0 {
					return best, ok
				}
			}
		}
	}
	return best, ok
}

// instructions lists what the sheet asks for.
func (r *run) instructions() []clearing.Instruction {
	if r.due == nil {
		r.due = clearing.Instruct(r.sheet)
	}
	return r.due
}

// rank says when an instruction is sent: 0 at once, 1 and 2 behind others, 3 not in this call.
func (r *run) rank(in *clearing.Instruction) int {
	switch spent := r.silent[in.Amount.Currency]; {
	case spent >= silences*r.opts.Patience:
		return 3
	case r.unanswered(in.ID, false):
		return 2
	case spent > 0:
		return 1
	}
	return 0
}

// silences is for how many times our patience an agent may be silent in one call.
const silences = 6

// unanswered tells whether the agent was silent to an instruction in an earlier call, or
// remembers that it was now. It is forgotten with the process.
func (r *run) unanswered(id string, now bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hushed[r.id] == nil && now {
		r.hushed[r.id] = map[string]bool{}
	}
	if now {
		r.hushed[r.id][id] = true
	}
	return r.hushed[r.id][id]
}

// legKey is between whom a leg runs.
type legKey struct {
	debtor, creditor tongma.ParticipantID
	currency         tongma.Currency
}

func legOf(in *clearing.Instruction) legKey {
	return legKey{in.Debtor, in.Creditor, in.Amount.Currency}
}

// short tells whether an instruction is for a leg that the agent refused.
func (r *run) short(in *clearing.Instruction) bool {
	for _, l := range shorts(&r.sheet) {
		if l.debtor == in.Debtor && l.creditor == in.Creditor && l.currency == in.Amount.Currency {
			return true
		}
	}
	return false
}

func (r *run) transfer(in clearing.Instruction) Transfer {
	return Transfer{Instruction: in, Model: r.sheet.Model, ValueDate: r.sheet.ValueDate}
}

// instructed writes down what came of one instruction.
func (r *run) instructed(f *flight) error {
	<-f.done
	in, t := f.in, r.transfer(f.in)
	e := Event{From: in.Debtor, To: in.Creditor, Money: in.Amount, Ref: in.ID}
	w, ok, began := f.word, f.asked, time.Now()
	if in.Debtor == "" && r.agent(in.Amount.Currency) != nil {
		var err error
		if w, t.ID, err = r.credit(t, f); err != nil {
			return err
		}
		e.Ref, ok = t.ID, true
	}
	if !ok {
		e.Kind, e.Text = "wait", r.nobody()
		r.open(e)
		return nil
	}
	if w.Outcome == Unknown {
		r.silent[in.Amount.Currency] += max(f.took+time.Since(began), r.opts.Patience)
	}
	if w.Outcome == Unknown || w.Outcome == Unheard {
		r.unanswered(in.ID, true)
	}
	return r.became(t, w, e)
}

// became writes down what the agent says of an instruction, if that is the end of it.
func (r *run) became(t Transfer, w Word, e Event) error {
	in := t.Instruction
	switch {
	case w.Outcome == Settled || w.Outcome == Partly:
		// The agent has moved the money. Stopped here, the same id is sent again and
		// answered as it was.
		// A part of a credit needs no more than that: the settlement account has the
		// rest, whose instruction has an id of its own now.
		if err := r.confirm(t, w, e); err != nil || w.Outcome == Settled || in.Debtor == "" {
			return err
		}
		e.Money.Minor -= w.Amount.Minor
		return r.refuse(in, e)
	case w.Outcome == Rejected && in.Debtor != "":
		if r.form[legOf(&in)] = w.Form; w.Form {
			e.Text = refusedForm
		}
		return r.refuse(in, e)
	}
	r.undecided(e, w)
	return nil
}

func (r *run) open(e Event) {
	r.report.Open = append(r.report.Open, e)
	r.doubt[e.Money.Currency] = true
}

// refusedCredit is what is to be done where the agent refuses a credit.
const refusedCredit = "the agent refuses it: have it tried again, or two people say how it was paid"

// refusedForm is what is to be done where the agent refuses a debit or a cover for its
// form: a wrong account, or a message behind the agent's own cut-off, is no failure to pay, for
// which others would have to. So the rules wait until a person has them go on.
const refusedForm = "the agent refuses it for its form, not for want of money, so nobody else is asked to pay: mend the cause and settle with --retry, or go on by the rules with --steps"

func (r *run) undecided(e Event, w Word) {
	e.Kind = w.Outcome.String()
	switch {
	case w.Err != nil:
		e.Text = tongma.ReasonOf(w.Err).Info().Title
		if err := (*tongma.Error)(nil); errors.As(w.Err, &err) && err.Detail != "" {
			if e.Text = err.Detail; err.Reason == tongma.AgentSilent {
				e.Text = "what became of it is not known: " + err.Detail
			}
		}
	case w.Outcome == Rejected:
		e.Text = refusedCredit
	}
	r.open(e)
}

// confirm writes down what the agent moved.
func (r *run) confirm(t Transfer, w Word, e Event) error {
	entry := t.Confirm()
	entry.Amount = w.Amount
	if err := r.book(entry); err != nil {
		return err
	}
	e.Money = w.Amount
	if e.Kind = "collected"; t.Debtor == "" || t.Creditor != "" {
		e.Kind = "paid"
	}
	r.tell(e)
	return nil
}

// refuse writes down that a debtor has not got what is due, or the rest of it. That
// suspends it.
func (r *run) refuse(in clearing.Instruction, e Event) error {
	r.retried[legOf(&in)] = true
	entry := in.Refuse(tongma.AgentRejected)
	entry.Amount = e.Money
	if err := r.book(entry); err != nil {
		return err
	}
	e.Kind = "short"
	r.tell(e)
	return nil
}

// move asks the agent for a transfer, and asks after it while it is not decided and
// there is patience. ok is false if nobody is connected.
func (r *run) move(t Transfer) (w Word, ok bool) {
	agent := r.agent(t.Amount.Currency)
	if agent == nil {
		return w, false
	}
	return r.pursue(r.ctx, agent, t, Word{Outcome: Unheard}), true
}

// pursue is move at an agent, of which w is the latest word: what it has not heard of it is
// told. It touches nothing of the run but its options.
func (r *run) pursue(ctx context.Context, agent Agent, t Transfer, w Word) Word {
	if w.Outcome == Unheard {
		w = agent.Move(ctx, t)
	}
	for until := time.Now().Add(r.opts.Patience); !w.final() && time.Now().Before(until); {
		if !pause(ctx, r.opts.Every) {
			break
		}
		if w = agent.Ask(ctx, t); w.Outcome == Unheard { // it got lost on the way
			w = agent.Move(ctx, t)
		}
	}
	return w.sound(t)
}

func (r *run) agent(c tongma.Currency) Agent {
	if r.opts.Agent == nil {
		return nil
	}
	return r.opts.Agent(&r.sheet, c)
}

// maxTries is how many ids a credit can have: the instruction's own, and then that with
// "-2" to "-99" behind it, which is as long as an id may be at a bank. Behind the last
// one two people say how it was paid.
const maxTries = 99

// tryID is the id of a credit's n-th try.
func tryID(id string, n int) string {
	if n == 1 {
		return id
	}
	return id + "-" + strconv.Itoa(n)
}

// isTry tells whether an id is that of a further try of a credit.
func isTry(id, of string) bool {
	end, ok := strings.CutPrefix(id, of+"-")
	n, err := strconv.Atoi(end)
	return ok && err == nil && n >= 2 && n <= maxTries && tryID(of, n) == id
}

// credit has a credit carried out. A refusal of a debit is an entry, and gives the next
// instruction another id; one of a credit, as of an account that was closed, is not. So
// the ids that the agent has refused are passed over, and the first that it has not
// heard of is used, if people want it tried again, and none of them says that it was
// paid. That is an entry before it is sent: what the books have as sent is sent again,
// whether people want that or not, until the agent says what became of it. A refused id
// stays refused, so that each is asked after once.
func (r *run) credit(t Transfer, f *flight) (w Word, id string, err error) {
	agent, own := r.agent(t.Amount.Currency), t.ID
	n := r.knownRefused(own)
	if n == 0 {
		if f.word.Outcome != Rejected {
			return f.word, own, nil
		}
		n = 1
	}
	for ; n < maxTries; n++ {
		t.ID = tryID(own, n+1)
		w = agent.Ask(r.ctx, t).sound(t)
		sent := w.Outcome == Unheard
		if sent && ((!r.how.Retry && !r.sent[t.ID]) || r.said[own]) {
			break
		}
		if sent {
			if err := r.again(t); err != nil {
				return w, t.ID, err
			}
			w, _ = r.move(t)
		}
		if w.Outcome != Rejected {
			r.refuses(own, n)
			return w, t.ID, nil
		}
		if sent {
			n++
			break // once a call is enough
		}
	}
	r.refuses(own, n)
	return Word{Outcome: Rejected}, tryID(own, n), nil
}

// knownRefused returns how many ids of a credit the agent is known to have refused: each
// further one was written down only when the one before it was.
func (r *run) knownRefused(own string) int {
	n := r.refusedIDs(own)
	for r.sent[tryID(own, n+2)] {
		n++
	}
	return n
}

// again writes down that a credit is about to be tried again, if it is not yet.
func (r *run) again(t Transfer) error {
	if r.sent[t.ID] {
		return nil
	}
	r.sent[t.ID] = true
	return r.book(t.Retry())
}

// refusedIDs returns how many ids of a credit the agent has refused, as far as is known.
func (r *run) refusedIDs(credit string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refusals[r.id][credit]
}

// refuses remembers how many ids of a credit the agent has refused.
func (r *run) refuses(credit string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusals[r.id] == nil {
		r.refusals[r.id] = map[string]int{}
	}
	r.refusals[r.id][credit] = n
}
