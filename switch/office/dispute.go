package office

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes"
)

// DisputeRequest raises a dispute.
type DisputeRequest struct {
	Key     string               // the raiser's idempotency key
	By      tongma.ParticipantID // the payer's network: the debtor of the payment
	Payment tongma.PaymentID
	Amount  tongma.Money // zero: all that is left of the payment
	Reason  string       // a code of the directory
	DryRun  bool
}

// DisputeStep is what a party, or the operator, does about a dispute.
type DisputeStep struct {
	Dispute tongma.PaymentID
	By      tongma.ParticipantID // the party; empty: the operator
	Person  string               // of the operator: who decides
	Action  dispute.Action
	Note    string // one line, up to 64 bytes: where the evidence is, or why; may be empty
	DryRun  bool
}

// DisputeView is a dispute and how it stands.
type DisputeView struct {
	ID         tongma.PaymentID     `json:"dispute"`
	Payment    tongma.PaymentID     `json:"payment"`
	Raiser     tongma.ParticipantID `json:"raiser"`
	Respondent tongma.ParticipantID `json:"respondent"`
	Amount     tongma.Money         `json:"amount"`
	Reason     string               `json:"reason"`
	Title      string               `json:"title,omitempty"` // of the reason, by the directory in force
	Stage      dispute.Stage        `json:"stage"`
	Turn       string               `json:"turn,omitempty"`    // whose move it waits for
	Deadline   time.Time            `json:"deadline,omitzero"` // until when; whoever lets it pass has given in, but for the operator
	Passed     bool                 `json:"passed,omitempty"`
	RaisedAt   time.Time            `json:"raised_at"`
	ChangedAt  time.Time            `json:"changed_at"`
	Maker      string               `json:"maker,omitempty"`   // who proposed the ruling that waits, or that stands
	Checker    string               `json:"checker,omitempty"` // who approved it
	Window     tongma.WindowID      `json:"window,omitempty"`  // in which the money goes back
	Money      string               `json:"money"`             // what happened to it

	// Steps are how it came there, first to last, where one dispute is asked for. Where the
	// journal could not be read in time there are none, and StepsUnread says so.
	Steps       []DisputeMove `json:"steps,omitempty"`
	StepsUnread string        `json:"steps_unread,omitempty"`
}

// DisputeMove is one step that a dispute took, as the journal has it.
type DisputeMove struct {
	Entry  uint64        `json:"entry"` // its number in the journal
	At     time.Time     `json:"at"`
	Stage  dispute.Stage `json:"stage"`            // that it came to
	By     string        `json:"by"`               // a participant, "operator", or "deadline": nobody acted in time
	Person string        `json:"person,omitempty"` // of the operator
	Note   string        `json:"note,omitempty"`   // where the evidence is, or why, in the words of who acted
}

// moveOf reads a step from its entry.
func moveOf(e *clearing.Entry, at time.Time) DisputeMove {
	m := DisputeMove{Entry: e.Number, At: at, Stage: e.Stage, By: string(e.Asker), Person: cmp.Or(e.Checker, e.Maker), Note: e.SchemeRef}
	switch {
	case e.Kind == clearing.KindDispute: // its text is the reason, which the dispute has
		m.Stage, m.Note = dispute.Raised, ""
	case m.By == "" && (e.Stage == dispute.DeemedAccepted || e.Stage == dispute.DeemedWithdrawn):
		m.By = "deadline"
	case m.By == "":
		m.By = "operator"
	}
	return m
}

// DisputeDone is what a dispute's operation did, and the dispute after it.
type DisputeDone struct {
	Done
	Dispute DisputeView `json:"dispute"`
}

// Raise raises a dispute about a posted payment. The amount counts against what is
// left of the payment from here on: it cannot be refunded besides. The respondent
// has until the deadline of the directory's business days to answer.
//
// Reasons: NotPermittedHere (the directory has no rules of disputes), FieldInvalid
// (no such reason), KeyMissing, PaymentUnknown, DisputeTurn (another than the payer's
// network), DisputeLate (the payment is too old), CalendarUnknown, and those of the
// Book: NotRefundable, CurrencyMismatch, DisputeExceeds, the exists-with-different
// ones.
func (o *Office) Raise(ctx context.Context, r DisputeRequest) (DisputeDone, error) {
	const op = "office.raise-dispute"
	dir, now := o.Directory(), o.Now()
	first, repeat, err := o.raised(ctx, &r)
	if err != nil {
		return DisputeDone{}, failed(op, err)
	}
	amount, deadline := r.Amount, int64(0)
	if repeat && amount == (tongma.Money{}) {
		amount = first.Amount
	}
	if !repeat {
		if amount, deadline, err = o.mayRaise(ctx, dir, &r, now); err != nil {
			return DisputeDone{}, failed(op, err)
		}
	}
	e, done, err := o.act(ctx, op, clearing.Entry{Kind: clearing.KindDispute, Payment: o.NewID(), Original: r.Payment, Asker: r.By, Key: r.Key, Amount: amount,
		SchemeRef: r.Reason, Expiry: deadline, Model: dir.DisputeModel()}, r.DryRun, "no money moves yet; what is disputed cannot be refunded besides")
	if err != nil {
		return DisputeDone{}, err
	}
	id := e.Payment
	if done.Exists {
		if id = first.ID; !repeat { // another call with the key was quicker
			if first, _, err = o.raised(ctx, &r); err != nil {
				return DisputeDone{}, failed(op, err)
			}
			id = first.ID
		}
	}
	return o.disputeDone(ctx, op, id, done, func() DisputeView {
		return o.viewDispute(&clearing.Dispute{ID: id, Payment: r.Payment, Raiser: r.By, Respondent: e.Creditor, Amount: amount, Code: r.Reason, Stage: dispute.Raised,
			Deadline: deadline, RaisedAt: now.UnixMilli(), ChangedAt: now.UnixMilli()})
	})
}

// raised finds the dispute that was raised under the same key before: what was
// answered then is answered again, however old the payment has become. The Book
// tells whether there is one; which one, the past.
func (o *Office) raised(ctx context.Context, r *DisputeRequest) (d clearing.Dispute, found bool, err error) {
	e := clearing.Entry{Kind: clearing.KindDispute, Payment: o.NewID(), Original: r.Payment, Asker: r.By, Key: r.Key, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY},
		SchemeRef: r.Reason, Model: o.Directory().DisputeModel()}
	var id tongma.PaymentID
	err = o.Ledger.Read(ctx, func(b *clearing.Book) { found = b.Propose(&e, o.Now().UnixMilli()).Exists })
	if err == nil && found {
		err = o.past.look(ctx, o, func(p *past) { id, found = p.disputes[disputeKey{r.By, r.Key}] })
	}
	if err != nil || !found {
		return d, false, err
	}
	err = o.Ledger.Read(ctx, func(b *clearing.Book) { d, found = b.Dispute(id) })
	return d, found, err
}

// mayRaise asks the directory whether the payment may be disputed for that reason,
// and returns how much, and until when the respondent has to answer.
func (o *Office) mayRaise(ctx context.Context, dir *schemes.Directory, r *DisputeRequest, now time.Time) (amount tongma.Money, deadline int64, err error) {
	rules, ok := dir.Disputes()
	if !ok {
		return amount, 0, &tongma.Error{Reason: tongma.NotPermittedHere, Detail: "the directory has no rules of disputes"}
	}
	if _, ok := rules.Reason(r.Reason); !ok {
		return amount, 0, &tongma.Error{Reason: tongma.FieldInvalid, Field: "/reason", Detail: "the directory has no such reason"}
	}
	if r.Key == "" || len(r.Key) > tongma.MaxKey {
		return amount, 0, &tongma.Error{Reason: tongma.KeyMissing, Field: "/key"}
	}
	if amount, err = o.disputable(ctx, r, rules, now); err == nil {
		deadline, err = dir.DisputeDeadline(schemes.StepAnswer, now.UnixMilli())
	}
	return amount, deadline, err
}

// disputable returns how much is to be disputed: what was asked, or all that is
// left. The Book judges the amount.
func (o *Office) disputable(ctx context.Context, r *DisputeRequest, rules *schemes.DisputeRules, now time.Time) (tongma.Money, error) {
	var p clearing.Payment
	found := false
	if err := o.Ledger.Read(ctx, func(b *clearing.Book) { p, found = b.Payment(r.Payment) }); err != nil {
		return tongma.Money{}, err
	}
	switch {
	case !found || (p.Debtor != r.By && p.Creditor != r.By && p.Asker != r.By):
		return tongma.Money{}, &tongma.Error{Reason: tongma.PaymentUnknown, Field: "/payment"}
	case p.Debtor != r.By:
		return tongma.Money{}, &tongma.Error{Reason: tongma.DisputeTurn, Field: "/by", Detail: "only the payer's network raises a dispute"}
	case now.Sub(time.UnixMilli(p.HeldAt)) > rules.MaxAge:
		return tongma.Money{}, &tongma.Error{Reason: tongma.DisputeLate, Field: "/payment", Detail: "the payment is too old"}
	}
	if r.Amount != (tongma.Money{}) {
		return r.Amount, nil
	}
	given := tongma.Money{Minor: p.Captured, Currency: p.Amount.Currency}
	if p.Dealer != "" { // what goes back is counted in what the creditor got
		given = p.Target
	}
	given.Minor = max(1, given.Minor-p.Refunded-p.Refunding-p.Disputed-p.ChargedBack)
	return given, nil // if nothing is left, the Book says so
}

// deadlineSteps say whose days a stage is given.
var deadlineSteps = map[dispute.Stage]schemes.DisputeStep{
	dispute.Raised: schemes.StepAnswer, dispute.Represented: schemes.StepPreArbitration, dispute.PreArbitration: schemes.StepArbitration,
	dispute.Arbitration: schemes.StepRuling, dispute.UpholdProposed: schemes.StepRuling, dispute.RejectProposed: schemes.StepRuling,
}

// Step does the next thing about a dispute. Who acts for a participant is that
// participant; for the operator a person is named, and a ruling takes two. Giving
// a dispute up, or the money back, is possible out of turn.
//
// Where no calendar tells the next stage's deadline, it has none, and nobody loses by
// waiting.
//
// Reasons: FieldInvalid, DisputeUnknown (also for whoever is no party), those of
// dispute.Next.
func (o *Office) Step(ctx context.Context, s DisputeStep) (DisputeDone, error) {
	op := "office.dispute-" + s.Action.String()
	if s.Note != "" && !line(s.Note, maxNote) {
		return DisputeDone{}, refuse(op, tongma.FieldInvalid, "/note", "one line of up to 64 bytes")
	}
	if s.By == "" && !line(s.Person, maxPerson) {
		return DisputeDone{}, refuse(op, tongma.FieldInvalid, "/person", "the person who decides is named in one line of up to 32 bytes")
	}
	if s.Action == dispute.Raise || s.Action == dispute.Expire {
		return DisputeDone{}, refuse(op, tongma.FieldInvalid, "/action", "no step of a party")
	}
	return o.step(ctx, op, s, dispute.NoParty)
}

// step asks the rules where the action leads, and writes that down; the Book asks
// them again. as is NoParty for whoever By is.
func (o *Office) step(ctx context.Context, op string, s DisputeStep, as dispute.Party) (DisputeDone, error) {
	d, err := o.find(ctx, s.Dispute, s.By)
	if err != nil {
		return DisputeDone{}, failed(op, err)
	}
	who := dispute.Who{Party: as, Person: s.Person, Maker: d.Maker}
	if as == dispute.NoParty {
		who.Party = partyOf(&d, s.By)
	}
	now := o.Now().UnixMilli()
	to, effect, err := dispute.Next(d.Stage, who, s.Action, now, d.Deadline)
	if err != nil && reached(&d, who.Party, s) {
		done := Done{Exists: true, DryRun: s.DryRun, Money: "nothing was written now, it stood already"}
		if s.DryRun {
			done.Money = "nothing would be written, it stands already"
		}
		return o.disputeDone(ctx, op, d.ID, done, nil)
	}
	if err != nil {
		return DisputeDone{}, failed(op, err)
	}
	e := clearing.Entry{Kind: clearing.KindDisputeStep, Payment: d.ID, Asker: s.By, Stage: to, SchemeRef: s.Note}
	switch s.Action {
	case dispute.ProposeUphold, dispute.ProposeReject:
		e.Maker = s.Person
	case dispute.Approve, dispute.Refuse:
		e.Checker = s.Person
	}
	money := "no money moves by this"
	if step, ok := deadlineSteps[to]; ok {
		// Whoever acts in time must not lose by it that next year's days are not known: the
		// deadline of its own stage goes on, and it could not answer before it passes.
		if e.Expiry, err = o.Directory().DisputeDeadline(step, now); err != nil {
			e.Expiry, money = 0, "no money moves by this; the stage that begins has no deadline, since no calendar tells it"
		}
	}
	if effect == dispute.Chargeback {
		money = d.Amount.String() + " goes back from " + string(d.Respondent) + " to " + string(d.Raiser) + " in the disputes' open window"
	}
	_, done, err := o.act(ctx, op, e, s.DryRun, money)
	if err != nil {
		return DisputeDone{}, err
	}
	return o.disputeDone(ctx, op, d.ID, done, func() DisputeView {
		d.Stage, d.Deadline, d.ChangedAt = to, e.Expiry, now
		return o.viewDispute(&d)
	})
}

// reached tells whether the dispute stands where the step leads, brought there by
// the same party: then this is a repeat of it.
func reached(d *clearing.Dispute, party dispute.Party, s DisputeStep) bool {
	switch s.Action {
	case dispute.ProposeUphold, dispute.ProposeReject:
		if !dispute.SamePerson(d.Maker, s.Person) {
			return false
		}
	case dispute.Approve:
		if !dispute.SamePerson(d.Checker, s.Person) {
			return false
		}
	case dispute.Refuse:
		return false // afterwards nothing tells that there was a ruling to refuse
	}
	return slices.ContainsFunc(dispute.Stages(), func(from dispute.Stage) bool {
		by, action, ok := dispute.Step(from, d.Stage)
		return ok && by == party && action == s.Action
	})
}

// partyOf says in what part a participant, or the operator, acts.
func partyOf(d *clearing.Dispute, by tongma.ParticipantID) dispute.Party {
	switch by {
	case d.Raiser:
		return dispute.Raiser
	case d.Respondent:
		return dispute.Respondent
	case "":
		return dispute.Operator
	}
	return dispute.NoParty
}

// find returns a dispute that is who's business: the operator's are all.
func (o *Office) find(ctx context.Context, id tongma.PaymentID, who tongma.ParticipantID) (clearing.Dispute, error) {
	var d clearing.Dispute
	var ok bool
	if err := o.Ledger.Read(ctx, func(b *clearing.Book) { d, ok = b.Dispute(id) }); err != nil {
		return d, err
	}
	if !ok || partyOf(&d, who) == dispute.NoParty {
		return d, &tongma.Error{Op: "office.dispute", Reason: tongma.DisputeUnknown, Field: "/dispute"}
	}
	return d, nil
}

// disputeDone adds the dispute as it is now, or, of a dry run, as it would be.
func (o *Office) disputeDone(ctx context.Context, op string, id tongma.PaymentID, done Done, would func() DisputeView) (DisputeDone, error) {
	if done.DryRun && !done.Exists {
		return DisputeDone{done, would()}, nil
	}
	d, err := o.find(ctx, id, "")
	if err != nil {
		return DisputeDone{Done: done}, failed(op, err) // it was written all the same: Done says so
	}
	return DisputeDone{done, o.viewDispute(&d)}, nil
}

func (o *Office) viewDispute(d *clearing.Dispute) DisputeView {
	v := DisputeView{ID: d.ID, Payment: d.Payment, Raiser: d.Raiser, Respondent: d.Respondent, Amount: d.Amount, Reason: d.Code, Stage: d.Stage,
		RaisedAt: time.UnixMilli(d.RaisedAt).UTC(), ChangedAt: time.UnixMilli(d.ChangedAt).UTC(), Maker: d.Maker, Checker: d.Checker, Window: d.Window}
	if rules, ok := o.Directory().Disputes(); ok {
		reason, _ := rules.Reason(d.Code)
		v.Title = reason.Title
	}
	if d.Stage.Open() {
		v.Turn = d.Stage.Turn().String()
		v.Money = "none moved yet; " + d.Amount.String() + " cannot be refunded besides"
	} else {
		v.Money = "none moved, and none will"
	}
	if d.Stage.Effect() == dispute.Chargeback {
		v.Money = d.Amount.String() + " went back from " + string(d.Respondent) + " to " + string(d.Raiser)
	}
	if d.Deadline != 0 {
		v.Deadline, v.Passed = time.UnixMilli(d.Deadline).UTC(), o.Now().UnixMilli() > d.Deadline
	}
	return v
}

// ShowDispute returns a dispute and its steps as a party may see it, the operator if who
// is empty. Reasons: DisputeUnknown.
func (o *Office) ShowDispute(ctx context.Context, id tongma.PaymentID, who tongma.ParticipantID) (DisputeView, error) {
	d, err := o.find(ctx, id, who)
	if err != nil {
		return DisputeView{}, failed("office.dispute", err)
	}
	v := o.viewDispute(&d)
	if err := o.past.look(ctx, o, func(p *past) { v.Steps = slices.Clone(p.moves[id]) }); err != nil {
		v.StepsUnread = "the journal was not read to its end in time: ask again, the reading goes on where it stopped"
	}
	return v, nil
}

// DisputeFilter chooses disputes; what is zero does not choose.
type DisputeFilter struct {
	Who     tongma.ParticipantID // a party of it
	Payment tongma.PaymentID
	Stage   dispute.Stage
	Turn    dispute.Party // waits for this party
	Open    bool          // only those that are not over
	Limit   int
}

func (f *DisputeFilter) takes(d *clearing.Dispute) bool {
	return (f.Who == "" || d.Raiser == f.Who || d.Respondent == f.Who) && (f.Payment.IsZero() || d.Payment == f.Payment) &&
		(f.Stage == dispute.NoStage || d.Stage == f.Stage) && (f.Turn == dispute.NoParty || d.Stage.Turn() == f.Turn) && (!f.Open || d.Stage.Open())
}

// Disputes returns disputes, latest first.
func (o *Office) Disputes(ctx context.Context, f DisputeFilter) ([]DisputeView, error) {
	var found []clearing.Dispute
	if err := o.Ledger.Read(ctx, func(b *clearing.Book) { found = b.Disputes(f.takes) }); err != nil {
		return nil, failed("office.disputes", err)
	}
	slices.Reverse(found)
	if f.Limit > 0 && len(found) > f.Limit {
		found = found[:f.Limit]
	}
	views := make([]DisputeView, 0, len(found))
	for i := range found {
		views = append(views, o.viewDispute(&found[i]))
	}
	return views, nil
}

// DisputeTable returns disputes as the cells of a table.
func DisputeTable(views []DisputeView) [][]string {
	rows := [][]string{{"dispute", "payment", "raiser", "respondent", "amount", "reason", "stage", "waits for", "until"}}
	for _, v := range views {
		until := ""
		if !v.Deadline.IsZero() {
			until = v.Deadline.Format("2006-01-02 15:04 MST")
		}
		rows = append(rows, []string{v.ID.String(), v.Payment.String(), string(v.Raiser), string(v.Respondent), v.Amount.String(), v.Reason, v.Stage.String(), v.Turn, until})
	}
	return rows
}
