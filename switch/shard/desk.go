package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/switch/office"
)

// Desk is the office of a shard, whose disputes are those of all shards: a dispute is
// kept where its payment is, and any shard takes whatever is done about it there. Caps and
// prefunding are changed where their participant is at home (order.go). Who is
// suspended by a person is so in all of them. All else is the shard's own.
type Desk struct {
	*office.Office
	node *Node
}

// NewDesk returns the Desk of a shard. From here on the Node does for other shards what
// they ask about disputes that are kept here.
func NewDesk(n *Node, own *office.Office) *Desk {
	d := &Desk{Office: own, node: n}
	n.desk.Store(d)
	return d
}

// Raise raises a dispute in the shard of its payment, under a key that is used nowhere
// else. Besides the reasons of office.Raise: Overloaded, if a shard that may have the
// payment is not there, with nothing done.
func (d *Desk) Raise(ctx context.Context, r office.DisputeRequest) (out office.DisputeDone, err error) {
	at, err := d.node.seekID(ctx, r.Payment)
	if err != nil {
		return out, away("office.raise-dispute", err)
	}
	msg := raiseMsg{Key: r.Key, By: r.By, Payment: r.Payment, Minor: r.Amount.Minor, Currency: uint16(r.Amount.Currency), Reason: r.Reason, Dry: r.DryRun}
	err = d.node.askOr(ctx, at, verbRaise, msg, &out, func() (any, error) { return d.node.raise(ctx, msg) })
	return out, err
}

// Step does the next thing about a dispute, where it is kept. Besides the reasons of
// office.Step: Overloaded, as of Raise.
func (d *Desk) Step(ctx context.Context, s office.DisputeStep) (out office.DisputeDone, err error) {
	at, err := d.node.seekID(ctx, s.Dispute)
	if err != nil {
		return out, away("office.dispute-"+s.Action.String(), err)
	}
	msg := stepMsg{Dispute: s.Dispute, By: s.By, Person: s.Person, Action: s.Action.String(), Note: s.Note, Dry: s.DryRun}
	err = d.node.askOr(ctx, at, verbStep, msg, &out, func() (any, error) { return d.node.step(ctx, msg) })
	return out, err
}

// ShowDispute returns a dispute as a party may see it, from the shard that keeps it.
func (d *Desk) ShowDispute(ctx context.Context, id tongma.PaymentID, who tongma.ParticipantID) (out office.DisputeView, err error) {
	at, err := d.node.seekID(ctx, id)
	if err != nil {
		return out, away("office.dispute", err)
	}
	msg := showMsg{Dispute: id, Who: who}
	err = d.node.askOr(ctx, at, verbDispute, msg, &out, func() (any, error) { return d.node.showDispute(ctx, msg) })
	return out, err
}

// Suspend suspends somebody in the first shard, which all others follow. If that is not
// there, in this one alone, and the answer says so: whoever is suspended must not wait.
func (d *Desk) Suspend(ctx context.Context, s office.Standing) (office.Done, error) {
	done, err := d.stand(ctx, verbSuspend, s)
	if tongma.ReasonOf(err) != tongma.Overloaded {
		return done, err
	}
	if done, err = d.Office.Suspend(ctx, s); err == nil {
		done.Money += fmt.Sprintf("; in shard %d only, since shard 1 is not there: repeat it when that is", d.node.opts.Self)
	}
	return done, err
}

// Resume ends a suspension by a person in the first shard, and so in all that follow it,
// and one of this shard alone.
func (d *Desk) Resume(ctx context.Context, s office.Standing) (office.Done, error) {
	done, err := d.stand(ctx, verbResume, s)
	if err != nil || d.node.opts.Self == clearing.Head {
		return done, err
	}
	alone, err := d.node.suspendedAlone(ctx, s.Participant)
	if err == nil && alone {
		return d.Office.Resume(ctx, s)
	}
	return done, err
}

func (d *Desk) stand(ctx context.Context, verb string, s office.Standing) (done office.Done, err error) {
	msg := standMsg{Who: s.Participant, By: s.By, Why: s.Why, Dry: s.DryRun}
	err = d.node.askOr(ctx, clearing.Head, verb, msg, &done, func() (any, error) { return d.node.stand(ctx, verb, msg) })
	return done, err
}

// suspendedAlone tells whether somebody is suspended by a person of this shard, which is
// not the first one: the others know nothing of it.
func (n *Node) suspendedAlone(ctx context.Context, who tongma.ParticipantID) (alone bool, err error) {
	err = n.ledger.Read(ctx, func(b *clearing.Book) {
		alone = n.opts.Self != clearing.Head && slices.Contains(b.SuspendedHere(), who)
	})
	return alone, err
}

// Disputes returns disputes of all shards, latest first. A shard that does not answer is
// an error that names it: a list without its disputes would pass for whole.
func (d *Desk) Disputes(ctx context.Context, f office.DisputeFilter) ([]office.DisputeView, error) {
	n := d.node
	msg := listMsg{Who: f.Who, Payment: f.Payment, Stage: uint8(f.Stage), Turn: uint8(f.Turn), Open: f.Open, Limit: f.Limit}
	parts, faults := make([][]office.DisputeView, n.opts.Count+1), make([]error, n.opts.Count+1)
	ask := func(s uint16) {
		faults[s] = n.askOr(ctx, s, verbDisputes, msg, &parts[s], func() (any, error) { return n.listDisputes(ctx, msg) })
	}
	n.others(ask)
	ask(n.opts.Self)
	if err := errors.Join(faults...); err != nil {
		return nil, away("office.disputes", err)
	}
	out := slices.Concat(parts...)
	slices.SortStableFunc(out, func(x, y office.DisputeView) int {
		return cmp.Or(y.RaisedAt.Compare(x.RaisedAt), cmp.Compare(y.ID.String(), x.ID.String()))
	})
	if f.Limit > 0 {
		out = out[:min(f.Limit, len(out))]
	}
	return out, nil
}

// away is the error of a shard that is needed and is not there: nothing was done.
func away(op string, err error) error {
	var e *tongma.Error
	detail := "a shard that may keep it did not answer: nothing was done, try again"
	if errors.As(err, &e) && e.Reason == tongma.Overloaded && e.Detail != "" {
		detail = e.Detail
	}
	return &tongma.Error{Op: op, Reason: tongma.Overloaded, Detail: detail, Err: err}
}

// Messages about disputes.
type (
	raiseMsg struct {
		Key      string               `json:"key"`
		By       tongma.ParticipantID `json:"by"`
		Payment  tongma.PaymentID     `json:"payment"`
		Minor    int64                `json:"minor,omitempty"`
		Currency uint16               `json:"currency,omitempty"`
		Reason   string               `json:"reason"`
		Dry      bool                 `json:"dry,omitempty"`
	}
	stepMsg struct {
		Dispute tongma.PaymentID     `json:"dispute"`
		By      tongma.ParticipantID `json:"by,omitempty"`
		Person  string               `json:"person,omitempty"`
		Action  string               `json:"action"`
		Note    string               `json:"note,omitempty"`
		Dry     bool                 `json:"dry,omitempty"`
	}
	showMsg struct {
		Dispute tongma.PaymentID     `json:"dispute"`
		Who     tongma.ParticipantID `json:"who,omitempty"`
	}
	standMsg struct {
		Who tongma.ParticipantID `json:"who"`
		By  string               `json:"by"`
		Why string               `json:"why"`
		Dry bool                 `json:"dry,omitempty"`
	}
	listMsg struct {
		Who     tongma.ParticipantID `json:"who,omitempty"`
		Payment tongma.PaymentID     `json:"payment"`
		Stage   uint8                `json:"stage,omitempty"`
		Turn    uint8                `json:"turn,omitempty"`
		Open    bool                 `json:"open,omitempty"`
		Limit   int                  `json:"limit,omitempty"`
	}
)

// own is the office of this shard.
func (n *Node) own() (*office.Office, error) {
	if d := n.desk.Load(); d != nil {
		return d.Office, nil
	}
	return nil, &tongma.Error{Op: "switch.shard.dispute", Reason: tongma.Overloaded, Detail: fmt.Sprintf("shard %d is starting: nothing was done, try again", n.opts.Self)}
}

// raise raises a dispute of a payment that is here. Its key is claimed first, as that of
// a payment is.
func (n *Node) raise(ctx context.Context, m raiseMsg) (any, error) {
	o, err := n.own()
	if err == nil && m.Key != "" && !m.Dry {
		err = n.claimFor(ctx, m.By, m.Key)
	}
	if err != nil {
		return nil, err
	}
	return o.Raise(ctx, office.DisputeRequest{Key: m.Key, By: m.By, Payment: m.Payment, Amount: tongma.Money{Minor: m.Minor, Currency: tongma.Currency(m.Currency)}, Reason: m.Reason, DryRun: m.Dry})
}

// claimFor makes sure that a key is this shard's. If we stop behind it, the same request
// finds the key here again.
func (n *Node) claimFor(ctx context.Context, asker tongma.ParticipantID, key string) error {
	other := &tongma.Error{Op: "office.raise-dispute", Reason: tongma.ExistsOtherOperation, Field: "/key", Detail: "its key was used for something else, in another shard: nothing was done, use a new one"}
	if used, err := n.usedBefore(ctx, asker, key); err != nil || used {
		if err != nil {
			return away(other.Op, err)
		}
		return other
	}
	owner := clearing.OwnerOf(asker, key, n.spread())
	if owner == n.opts.Self { // there, the entry is the claim
		return nil
	}
	var got keyMsg
	asking, cancel := soon(ctx)
	defer cancel()
	if err := n.ask(asking, owner, verbClaim, keyMsg{Asker: asker, Key: key, Shard: n.opts.Self}, &got); err != nil {
		return away(other.Op, err)
	}
	if got.Shard != n.opts.Self {
		return other
	}
	return nil
}

// stand suspends or resumes somebody here.
func (n *Node) stand(ctx context.Context, verb string, m standMsg) (any, error) {
	o, err := n.own()
	if err != nil {
		return nil, err
	}
	s := office.Standing{Participant: m.Who, By: m.By, Why: m.Why, DryRun: m.Dry}
	if verb == verbSuspend {
		return o.Suspend(ctx, s)
	}
	return o.Resume(ctx, s)
}

func (n *Node) step(ctx context.Context, m stepMsg) (any, error) {
	o, err := n.own()
	if err != nil {
		return nil, err
	}
	action, err := dispute.ParseAction(m.Action)
	if err != nil {
		return nil, &tongma.Error{Op: "switch.shard.dispute", Reason: tongma.OperationUnknown}
	}
	return o.Step(ctx, office.DisputeStep{Dispute: m.Dispute, By: m.By, Person: m.Person, Action: action, Note: m.Note, DryRun: m.Dry})
}

func (n *Node) showDispute(ctx context.Context, m showMsg) (any, error) {
	o, err := n.own()
	if err != nil {
		return nil, err
	}
	return o.ShowDispute(ctx, m.Dispute, m.Who)
}

func (n *Node) listDisputes(ctx context.Context, m listMsg) (any, error) {
	o, err := n.own()
	if err != nil {
		return nil, err
	}
	return o.Disputes(ctx, office.DisputeFilter{Who: m.Who, Payment: m.Payment, Stage: dispute.Stage(m.Stage), Turn: dispute.Party(m.Turn), Open: m.Open, Limit: m.Limit})
}
