package office

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// CapRequest proposes another net debit cap.
type CapRequest struct {
	Key         string // the proposal's own, unique among proposals, deposits and withdrawals
	Participant tongma.ParticipantID
	Cap         tongma.Money
	By          string // the person who proposes
	DryRun      bool
}

// CapCheck is a second person's word on a proposed cap.
type CapCheck struct {
	Key    string
	By     string
	DryRun bool
}

// CapView is a proposed cap and how it stands.
type CapView struct {
	Key         string               `json:"key"`
	Participant tongma.ParticipantID `json:"participant"`
	Cap         tongma.Money         `json:"cap"`
	Standing    tongma.Money         `json:"standing"` // the cap that is in force
	State       string               `json:"state"`    // waiting, stale (waiting, but the cap was changed since: it can only be rejected), approved, rejected
	Maker       string               `json:"maker"`
	Checker     string               `json:"checker,omitempty"`
	ProposedAt  time.Time            `json:"proposed_at,omitzero"`
	DecidedAt   time.Time            `json:"decided_at,omitzero"`
}

// ProposeCap writes a proposal down; the cap stays as it is until another person
// approves. Reasons: FieldInvalid, ParticipantUnknown, the exists-with-different
// ones, NoAccount.
func (o *Office) ProposeCap(ctx context.Context, r CapRequest) (Done, error) {
	const op = "office.propose-cap"
	if !line(r.By, maxPerson) {
		return Done{}, refuse(op, tongma.FieldInvalid, "/by", "the person who proposes is named in one line of up to 32 bytes")
	}
	if _, err := o.known(op, r.Participant); err != nil {
		return Done{}, err
	}
	_, done, err := o.act(ctx, op, clearing.Entry{Kind: clearing.KindCapProposed, Key: r.Key, Debtor: r.Participant, Amount: r.Cap, Maker: r.By}, r.DryRun,
		noMoney+", and the cap stays until a second person approves")
	return done, err
}

// ApproveCap puts a proposed cap into force. Reasons: FieldInvalid,
// ProposalUnknown, StateConflict, MakerIsChecker, CapChanged.
func (o *Office) ApproveCap(ctx context.Context, r CapCheck) (Done, error) {
	return o.checkCap(ctx, "office.approve-cap", clearing.KindCapApproved, r, noMoney+", the cap is in force from here on")
}

// RejectCap ends a proposal; the cap stays. Reasons as with ApproveCap.
func (o *Office) RejectCap(ctx context.Context, r CapCheck) (Done, error) {
	return o.checkCap(ctx, "office.reject-cap", clearing.KindCapRejected, r, noMoney+", the cap stays as it is")
}

func (o *Office) checkCap(ctx context.Context, op string, kind clearing.Kind, r CapCheck, money string) (Done, error) {
	if !line(r.By, maxPerson) {
		return Done{}, refuse(op, tongma.FieldInvalid, "/by", "the person who decides is named in one line of up to 32 bytes")
	}
	_, done, err := o.act(ctx, op, clearing.Entry{Kind: kind, Key: r.Key, Checker: r.By}, r.DryRun, money)
	return done, err
}

// Caps returns the proposals of a participant, or of all if it is empty, latest
// first; only those that wait, if waiting. The first call reads the whole journal.
func (o *Office) Caps(ctx context.Context, participant tongma.ParticipantID, waiting bool) ([]CapView, error) {
	var views []CapView
	err := o.past.look(ctx, o, func(p *past) { views = slices.Clone(p.caps) })
	if err == nil {
		err = o.Ledger.Read(ctx, func(b *clearing.Book) { fillCaps(b, views) })
	}
	if err != nil {
		return nil, failed("office.caps", err)
	}
	views = slices.DeleteFunc(views, func(v CapView) bool {
		return (participant != "" && v.Participant != participant) || (waiting && v.State != "waiting" && v.State != "stale")
	})
	slices.Reverse(views)
	return views, nil
}

func fillCaps(b *clearing.Book, views []CapView) {
	standing := map[tongma.ParticipantID]map[tongma.Currency]int64{}
	for _, p := range b.Positions() {
		if standing[p.Participant] == nil {
			standing[p.Participant] = map[tongma.Currency]int64{}
		}
		standing[p.Participant][p.Currency] = p.Cap
	}
	for i := range views {
		v := &views[i]
		p, ok := b.CapProposal(v.Key)
		if !ok {
			continue
		}
		v.Cap, v.Maker, v.Checker = p.Cap, p.Maker, p.Checker
		v.Standing = tongma.Money{Minor: standing[p.Participant][p.Cap.Currency], Currency: p.Cap.Currency}
		switch {
		case p.State == clearing.KindCapApproved:
			v.State = "approved"
		case p.State == clearing.KindCapRejected:
			v.State = "rejected"
		case p.Stale:
			v.State = "stale"
		default:
			v.State = "waiting"
		}
	}
}

// Funds is a deposit or a withdrawal of prefunding that has happened at the
// settlement agent, or is about to.
type Funds struct {
	Key         string
	Participant tongma.ParticipantID
	Amount      tongma.Money
	Ref         string // of the agent; may be empty
	DryRun      bool
}

// Deposit books prefunding that came in: from here on it adds to what the
// participant may debit. Reasons: FieldInvalid, ParticipantUnknown, the
// exists-with-different ones, NoAccount, PositionOverflow.
func (o *Office) Deposit(ctx context.Context, f Funds) (Done, error) {
	return o.fund(ctx, "office.deposit", clearing.KindDeposit, f, f.Amount.String()+" of prefunding is booked as received")
}

// Withdraw books prefunding as going out again, before it is paid: what is booked
// out cannot be debited against. Reasons: as Deposit, and ParticipantSuspended,
// AmountInvalid (more than is there), OverCap (it is in use).
func (o *Office) Withdraw(ctx context.Context, f Funds) (Done, error) {
	return o.fund(ctx, "office.withdraw", clearing.KindWithdraw, f, f.Amount.String()+" of prefunding is booked out and may be paid to the participant")
}

func (o *Office) fund(ctx context.Context, op string, kind clearing.Kind, f Funds, money string) (Done, error) {
	if f.Ref != "" && !line(f.Ref, maxNote) {
		return Done{}, refuse(op, tongma.FieldInvalid, "/ref", "one line of up to 64 bytes")
	}
	if _, err := o.known(op, f.Participant); err != nil {
		return Done{}, err
	}
	_, done, err := o.act(ctx, op, clearing.Entry{Kind: kind, Key: f.Key, Debtor: f.Participant, Amount: f.Amount, SchemeRef: f.Ref}, f.DryRun, money)
	return done, err
}

// Standing blocks a participant's debits, or allows them again.
type Standing struct {
	Participant tongma.ParticipantID
	By          string // the person who decides
	Why         string // for the journal and the participant: one line of up to 64 bytes
	DryRun      bool
}

// Suspend blocks new debits of a participant; its credits, and what is already
// held, go on. Who and why are in the journal. Reasons: FieldInvalid,
// ParticipantUnknown.
func (o *Office) Suspend(ctx context.Context, s Standing) (Done, error) {
	return o.stand(ctx, "office.suspend", clearing.KindSuspend, s, noMoney+": new debits are refused from here on, credits and open holds go on")
}

// Resume allows a participant's debits again. One that the directory itself
// suspends is resumed there: StateConflict. Other reasons as with Suspend.
func (o *Office) Resume(ctx context.Context, s Standing) (Done, error) {
	if p, ok := o.Directory().Participant(s.Participant); ok && p.Suspended {
		return Done{}, refuse("office.resume", tongma.StateConflict, "/participant", "the directory suspends it")
	}
	return o.stand(ctx, "office.resume", clearing.KindResume, s, noMoney+": debits are taken again")
}

func (o *Office) stand(ctx context.Context, op string, kind clearing.Kind, s Standing, money string) (Done, error) {
	switch {
	case !line(s.By, maxPerson):
		return Done{}, refuse(op, tongma.FieldInvalid, "/by", "the person who decides is named in one line of up to 32 bytes")
	case !line(s.Why, maxNote):
		return Done{}, refuse(op, tongma.FieldInvalid, "/why", "one line of up to 64 bytes says why")
	}
	if _, err := o.known(op, s.Participant); err != nil {
		return Done{}, err
	}
	_, done, err := o.act(ctx, op, clearing.Entry{Kind: kind, Debtor: s.Participant, Maker: s.By, SchemeRef: s.Why}, s.DryRun, money)
	return done, err
}

// ParticipantView is a participant of the directory and how it stands.
type ParticipantView struct {
	Participant tongma.ParticipantID `json:"participant"`
	Name        string               `json:"name"`
	Suspended   bool                 `json:"suspended"`
	Since       time.Time            `json:"since,omitzero"` // of its latest suspension or resumption
	By          string               `json:"by,omitempty"`   // whoever did that; empty: the directory, or the books themselves
	Why         string               `json:"why,omitempty"`
	Accounts    []clearing.Position  `json:"-"`
}

// Participants returns those of the directory, by id. The first call reads the
// whole journal.
func (o *Office) Participants(ctx context.Context) ([]ParticipantView, error) {
	var latest map[tongma.ParticipantID]standingChange
	err := o.past.look(ctx, o, func(p *past) { latest = maps.Clone(p.standing) })
	accounts := map[tongma.ParticipantID][]clearing.Position{}
	if err == nil {
		err = o.Ledger.Read(ctx, func(b *clearing.Book) {
			for _, p := range b.Positions() {
				accounts[p.Participant] = append(accounts[p.Participant], p)
			}
		})
	}
	if err != nil {
		return nil, failed("office.participants", err)
	}
	var views []ParticipantView
	for _, p := range o.Directory().Participants() {
		v := ParticipantView{Participant: p.ID, Name: p.Name, Accounts: accounts[p.ID]}
		v.Suspended = slices.ContainsFunc(v.Accounts, func(a clearing.Position) bool { return a.Suspended })
		if c, ok := latest[p.ID]; ok {
			v.Since, v.By, v.Why = c.at, c.by, c.why
		}
		views = append(views, v)
	}
	slices.SortFunc(views, func(x, y ParticipantView) int { return cmp.Compare(x.Participant, y.Participant) })
	return views, nil
}
