package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/office"
)

// orderMsg is a cap or prefunding that is to be changed, by any door.
type orderMsg struct {
	Do       string               `json:"do"`
	Key      string               `json:"key"`
	Who      tongma.ParticipantID `json:"who,omitempty"`
	Minor    int64                `json:"minor,omitempty"`
	Currency uint16               `json:"currency,omitempty"`
	By       string               `json:"by,omitempty"`
	Ref      string               `json:"ref,omitempty"`
	Dry      bool                 `json:"dry,omitempty"`
	Held     bool                 `json:"held,omitempty"` // the key is the asked shard's
}

// What an orderMsg may ask for.
const (
	doPropose  = "propose"
	doApprove  = "approve"
	doReject   = "reject"
	doDeposit  = "deposit"
	doWithdraw = "withdraw"
)

// orderedMsg says what was done, or which shard to ask.
type orderedMsg struct {
	Done office.Done `json:"done"`
	At   uint16      `json:"at,omitempty"`   // it belongs there, and nothing was done
	Held bool        `json:"held,omitempty"` // because its key does
}

type capsMsg struct {
	Who     tongma.ParticipantID `json:"who,omitempty"`
	Waiting bool                 `json:"waiting,omitempty"`
}

// mostTurns is how often somebody who is being moved is looked for.
const mostTurns = 40

// ProposeCap proposes a cap where the participant is at home. Besides the reasons of
// office.ProposeCap, as of the four that follow: Overloaded, if a shard that is needed is
// not there, with nothing done; JournalInDoubt, if it fell silent; KeyUsedUp.
func (d *Desk) ProposeCap(ctx context.Context, r office.CapRequest) (office.Done, error) {
	return d.order(ctx, orderMsg{Do: doPropose, Key: r.Key, Who: r.Participant, Minor: r.Cap.Minor, Currency: uint16(r.Cap.Currency), By: r.By, Dry: r.DryRun})
}

// ApproveCap puts a cap into force where it was proposed. If the participant has moved
// since, that is CapChanged.
func (d *Desk) ApproveCap(ctx context.Context, r office.CapCheck) (office.Done, error) {
	return d.order(ctx, orderMsg{Do: doApprove, Key: r.Key, By: r.By, Dry: r.DryRun})
}

// RejectCap ends a proposal where it was made.
func (d *Desk) RejectCap(ctx context.Context, r office.CapCheck) (office.Done, error) {
	return d.order(ctx, orderMsg{Do: doReject, Key: r.Key, By: r.By, Dry: r.DryRun})
}

// Deposit books prefunding where the participant is at home, once for each key.
func (d *Desk) Deposit(ctx context.Context, f office.Funds) (office.Done, error) {
	return d.order(ctx, orderMsg{Do: doDeposit, Key: f.Key, Who: f.Participant, Minor: f.Amount.Minor, Currency: uint16(f.Amount.Currency), Ref: f.Ref, Dry: f.DryRun})
}

// Withdraw books prefunding out where the participant is at home, once for each key.
func (d *Desk) Withdraw(ctx context.Context, f office.Funds) (office.Done, error) {
	return d.order(ctx, orderMsg{Do: doWithdraw, Key: f.Key, Who: f.Participant, Minor: f.Amount.Minor, Currency: uint16(f.Amount.Currency), Ref: f.Ref, Dry: f.DryRun})
}

// Caps returns the proposals of all shards, latest first. A shard that does not answer is
// an error that names it, as with Disputes.
func (d *Desk) Caps(ctx context.Context, participant tongma.ParticipantID, waiting bool) ([]office.CapView, error) {
	n, msg := d.node, capsMsg{participant, waiting}
	parts, faults := make([][]office.CapView, n.opts.Count+1), make([]error, n.opts.Count+1)
	ask := func(s uint16) {
		faults[s] = n.askOr(ctx, s, verbCaps, msg, &parts[s], func() (any, error) { return n.capsHere(ctx, msg) })
	}
	n.others(ask)
	ask(n.opts.Self)
	if err := errors.Join(faults...); err != nil {
		return nil, away("office.caps", err)
	}
	out := slices.Concat(parts...)
	slices.SortStableFunc(out, func(x, y office.CapView) int {
		return cmp.Or(y.ProposedAt.Compare(x.ProposedAt), cmp.Compare(x.Key, y.Key))
	})
	return out, nil
}

func (n *Node) capsHere(ctx context.Context, m capsMsg) (any, error) {
	o, err := n.own()
	if err != nil {
		return nil, err
	}
	return o.Caps(ctx, m.Who, m.Waiting)
}

// order has a shard do what is asked for: the one that has the key, else the one that the
// participant is at home in. While it is being moved its two homes send us to each other.
func (d *Desk) order(ctx context.Context, m orderMsg) (office.Done, error) {
	n, op := d.node, "office."+m.Do
	at, err := n.holderOfOrder(ctx, m)
	if err != nil {
		return office.Done{}, away(op, err)
	}
	if m.Held = at != 0; !m.Held {
		if at = n.opts.Self; m.Who != "" {
			at = n.homeOf(m.Who)
		}
	}
	for range mostTurns {
		var got orderedMsg
		if err := n.askOr(ctx, at, verbOrder, m, &got, func() (any, error) { return n.order(ctx, m) }); err != nil {
			return office.Done{}, err
		}
		if got.At == 0 {
			return got.Done, nil
		}
		if at, m.Held = got.At, got.Held; m.Held {
			continue
		}
		select {
		case <-ctx.Done():
			return office.Done{}, moving(op, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return office.Done{}, moving(op, nil)
}

func moving(op string, err error) error {
	return &tongma.Error{Op: op, Reason: tongma.Overloaded, Detail: "the participant is being moved between shards: nothing was done, try again", Err: err}
}

// holderOfOrder finds the shard that has what was asked for under a key; zero if none has
// as far as its owner knows. What decides on a proposed cap names the key alone, so that of
// one which was made before keys were claimed all shards are asked.
func (n *Node) holderOfOrder(ctx context.Context, m orderMsg) (uint16, error) {
	key := keyMsg{Asker: clearing.OfficeAsker, Key: m.Key}
	holder := func(at uint16) (uint16, error) {
		var got keyMsg
		err := n.askOr(ctx, at, verbHolder, key, &got, func() (any, error) { return n.holder(ctx, key) })
		if err == nil && at == clearing.Head {
			n.fresh.Store(!got.Older)
		}
		return got.Shard, err
	}
	order := []uint16{clearing.OwnerOf(key.Asker, key.Key, n.spread())}
	if !n.fresh.Load() { // the head may have it of before there were others
		order = append(order, clearing.Head)
	}
	for s := uint16(1); s <= n.opts.Count && m.Who == ""; s++ {
		order = append(order, s)
	}
	for _, s := range order {
		if at, err := holder(s); err != nil || at != 0 {
			return at, err
		}
	}
	return 0, nil
}

// order changes a cap or prefunding here, or says which shard is to.
func (n *Node) order(ctx context.Context, m orderMsg) (any, error) {
	o, err := n.own()
	if err != nil {
		return nil, err
	}
	if m.Who != "" && !m.Held {
		if at, err := n.homeHere(ctx, m.Who); err != nil || at != n.opts.Self {
			return orderedMsg{At: at}, err
		}
		probe := m
		if probe.Dry = true; !m.Dry { // what is refused claims no key
			if _, err := n.carryOut(ctx, o, probe); err != nil {
				return nil, err
			}
			if at, err := n.claimOrder(ctx, m.Key); err != nil || at != n.opts.Self {
				return orderedMsg{At: at, Held: true}, err
			}
			// If we stop here, the same request finds the key here again.
		}
	}
	n.ordering.Lock()
	defer n.ordering.Unlock()
	held, stands := uint16(0), false
	err = n.ledger.Read(ctx, func(b *clearing.Book) {
		held, stands = b.HolderOf(clearing.OfficeAsker, m.Key), b.Ordered(m.Key)
	})
	if err != nil {
		return nil, err
	}
	if held != 0 && held != n.opts.Self { // it was given away meanwhile
		return orderedMsg{At: held, Held: true}, nil
	}
	done, err := n.carryOut(ctx, o, m)
	if tongma.ReasonOf(err) != tongma.NoAccount || stands || m.Who == "" {
		return orderedMsg{Done: done}, err
	}
	return n.movedAway(ctx, m, err)
}

// movedAway is the answer to who wanted something changed of a participant that is at home
// here no more. A key that was claimed for this shard is used up: to give it back could
// book twice.
func (n *Node) movedAway(ctx context.Context, m orderMsg, err error) (any, error) {
	at, e := n.homeHere(ctx, m.Who)
	switch {
	case e != nil || at == n.opts.Self:
		return nil, err
	case m.Dry || clearing.OwnerOf(clearing.OfficeAsker, m.Key, n.spread()) == n.opts.Self:
		return orderedMsg{At: at}, nil
	}
	return nil, &tongma.Error{Op: "office." + m.Do, Reason: tongma.KeyUsedUp, Field: "/key", Detail: fmt.Sprintf("its key was kept for shard %d, where the participant is at home no more: nothing was written and no money moved, use a new key", n.opts.Self)}
}

// homeHere is where somebody is at home by the books.
func (n *Node) homeHere(ctx context.Context, who tongma.ParticipantID) (at uint16, err error) {
	err = n.ledger.Read(ctx, func(b *clearing.Book) { at, _ = b.Home(who) })
	return at, err
}

func (n *Node) carryOut(ctx context.Context, o *office.Office, m orderMsg) (office.Done, error) {
	amount := tongma.Money{Minor: m.Minor, Currency: tongma.Currency(m.Currency)}
	switch m.Do {
	case doPropose:
		return o.ProposeCap(ctx, office.CapRequest{Key: m.Key, Participant: m.Who, Cap: amount, By: m.By, DryRun: m.Dry})
	case doApprove:
		return o.ApproveCap(ctx, office.CapCheck{Key: m.Key, By: m.By, DryRun: m.Dry})
	case doReject:
		return o.RejectCap(ctx, office.CapCheck{Key: m.Key, By: m.By, DryRun: m.Dry})
	case doDeposit:
		return o.Deposit(ctx, office.Funds{Key: m.Key, Participant: m.Who, Amount: amount, Ref: m.Ref, DryRun: m.Dry})
	case doWithdraw:
		return o.Withdraw(ctx, office.Funds{Key: m.Key, Participant: m.Who, Amount: amount, Ref: m.Ref, DryRun: m.Dry})
	}
	return office.Done{}, &tongma.Error{Op: "switch.shard.order", Reason: tongma.OperationUnknown}
}

// claimOrder makes sure that a key of the office is this shard's, and returns which has
// it. Where this one is its owner, what is written under it is the claim.
func (n *Node) claimOrder(ctx context.Context, key string) (uint16, error) {
	owner := clearing.OwnerOf(clearing.OfficeAsker, key, n.spread())
	if owner == n.opts.Self {
		return owner, nil
	}
	var got keyMsg
	asking, cancel := soon(ctx)
	defer cancel()
	if err := n.ask(asking, owner, verbClaim, keyMsg{Asker: clearing.OfficeAsker, Key: key, Shard: n.opts.Self}, &got); err != nil {
		return 0, away("office.order", err)
	}
	return got.Shard, nil
}
