package shard

import (
	"context"
	"errors"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Room looks for the room that a hold lacks. Of somebody who is at home here, the other
// shards are asked to send what lies with them; of others, their homes.
func (n *Node) Room(ctx context.Context, hold *clearing.Entry) {
	type lack struct {
		who   tongma.ParticipantID
		minor int64
		m     tongma.Money
	}
	var lacks []lack
	sides := map[tongma.ParticipantID]tongma.Money{hold.Debtor: hold.Amount}
	if hold.Dealer != "" {
		sides[hold.Dealer] = hold.Target
	}
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		for who, m := range sides {
			if settler, minor := b.Lacking(who, m); minor > 0 {
				lacks = append(lacks, lack{settler, minor, m})
			}
		}
	})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.RoomWithin)
	defer cancel()
	for _, l := range lacks {
		msg := roomMsg{Who: l.who, Minor: l.minor, Currency: uint16(l.m.Currency), To: n.opts.Self}
		if home := n.homeOf(l.who); home != n.opts.Self {
			_ = n.ask(ctx, home, verbRoom, msg, nil) // without it the books refuse
			continue
		}
		now := n.lookNow(l.who)
		if !now { // somebody has just looked: once more, for all who wait
			select {
			case <-ctx.Done():
			case <-time.After(lookForMin):
				now = n.lookNow(l.who)
			}
		}
		if now {
			n.others(func(shard uint16) { _ = n.ask(ctx, shard, verbSweep, msg, nil) })
		}
	}
}

// lookNow tells whether it may be looked for room of somebody again.
func (n *Node) lookNow(who tongma.ParticipantID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.lacked[who]) >= lookForMin {
		n.lacked[who] = now
		return true
	}
	return false
}

// sendRoom sends room of somebody who is at home here to the shard that asks, and
// returns when it has arrived there.
func (n *Node) sendRoom(ctx context.Context, m roomMsg) (any, error) {
	c := clearing.Carry{Shard: m.To, Participant: m.Who, Amount: tongma.Money{Minor: m.Minor, Currency: tongma.Currency(m.Currency)}}
	if m.Minor <= 0 || n.homeOf(m.Who) != n.opts.Self {
		return nil, &tongma.Error{Op: "switch.shard.room", Reason: tongma.NoAccount}
	}
	if err := n.carry(ctx, c); err != nil {
		return nil, err
	}
	return yesMsg{true}, n.push(ctx, m.To)
}

// carry writes down that something leaves.
func (n *Node) carry(ctx context.Context, c clearing.Carry) error {
	n.mu.Lock()
	confirmed := n.confirmed[c.Shard]
	n.mu.Unlock()
	res, err := n.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindCarryOut, Debtor: c.Participant, Shard: c.Shard, Amount: c.Amount, Upto: confirmed})
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "switch.shard.carry", Reason: res.Reason}
	}
	return err
}

// sweep sends home what of others lies here, or of one of them.
func (n *Node) sweep(ctx context.Context, who tongma.ParticipantID) error {
	return n.sweepOf(ctx, func(c *clearing.Carry) bool { return (who == "" || c.Participant == who) && !n.justCame(c.Participant) })
}

// bringOut sends all that somebody who has left owes here after it. Its cap must not go
// before: what is used of it would be free once more. A hold that ends meanwhile changes
// what there is to send, so that it is looked at again.
func (n *Node) bringOut(ctx context.Context, who tongma.ParticipantID) error {
	for range 8 {
		if err := n.sweepOf(ctx, func(c *clearing.Carry) bool { return c.Participant == who }); err != nil {
			return err
		}
		owes := false
		err := n.ledger.Read(ctx, func(b *clearing.Book) {
			for _, c := range b.Astray() {
				owes = owes || (c.Participant == who && c.Amount.Minor < 0)
			}
		})
		if err != nil || !owes {
			return err
		}
	}
	return &tongma.Error{Op: "switch.shard.move", Reason: tongma.StateConflict, Detail: "what it owes changes all the time: it is tried again"}
}

func (n *Node) sweepOf(ctx context.Context, which func(*clearing.Carry) bool) error {
	var astray []clearing.Carry
	if err := n.ledger.Read(ctx, func(b *clearing.Book) { astray = b.Astray() }); err != nil {
		return err
	}
	to := map[uint16]bool{}
	var faults error
	for _, c := range astray {
		if !which(&c) {
			continue
		}
		err := n.carry(ctx, c)
		switch tongma.ReasonOf(err) {
		case tongma.NoReason:
			to[c.Shard] = true
		case tongma.OverCap, tongma.AmountInvalid: // it was used meanwhile
		default:
			faults = errors.Join(faults, err)
		}
	}
	for shard := range to {
		faults = errors.Join(faults, n.push(ctx, shard))
	}
	return faults
}

// justCame tells whether room of somebody came in a moment ago, for a hold that is about
// to be asked for.
func (n *Node) justCame(who tongma.ParticipantID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, came := n.came[who]
	if came && time.Since(at) > keepRoom {
		delete(n.came, who)
		came = false
	}
	return came
}

// pushAll sends all that has left and was not confirmed.
func (n *Node) pushAll(ctx context.Context) error {
	var faults error
	for s := uint16(1); s <= n.opts.Count; s++ {
		if s != n.opts.Self {
			faults = errors.Join(faults, n.push(ctx, s))
		}
	}
	return faults
}

// push sends what is on the way to a shard, in order, until that has it.
func (n *Node) push(ctx context.Context, shard uint16) error {
	n.pushing[shard].Lock()
	defer n.pushing[shard].Unlock()
	for {
		n.mu.Lock()
		confirmed := n.confirmed[shard]
		n.mu.Unlock()
		var out []clearing.Carry
		if err := n.ledger.Read(ctx, func(b *clearing.Book) { out = b.CarriesOut(shard, confirmed) }); err != nil || len(out) == 0 {
			return err
		}
		msg := carryMsg{From: n.opts.Self}
		for _, c := range out[:min(len(out), mostCarries)] {
			msg.Carries = append(msg.Carries, carriedLine{c.Sequence, c.Participant, c.Amount.Minor, uint16(c.Amount.Currency)})
		}
		var got takenMsg
		asking, cancel := soon(ctx)
		err := n.ask(asking, shard, verbCarry, msg, &got)
		cancel()
		if err != nil {
			return err
		}
		if got.Taken < out[0].Sequence {
			return &tongma.Error{Op: "switch.shard.carry", Reason: tongma.StateConflict, Detail: "the other shard takes nothing in"}
		}
		n.mu.Lock()
		n.confirmed[shard] = max(n.confirmed[shard], got.Taken)
		n.mu.Unlock()
	}
}

// mostCarries is how many are sent at once.
const mostCarries = 500

// takeIn takes in what another shard has sent, each by its number, and says how far
// that has come.
func (n *Node) takeIn(ctx context.Context, m carryMsg) (any, error) {
	for _, c := range m.Carries {
		res, err := n.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindCarryIn, Debtor: c.Who, Shard: m.From, Sequence: c.Sequence,
			Amount: tongma.Money{Minor: c.Minor, Currency: tongma.Currency(c.Currency)}})
		if err != nil {
			return nil, err
		}
		if res.Reason != tongma.NoReason {
			n.opts.Logger.Error("shard: room that cannot come in", "from", m.From, "number", c.Sequence, "reason", res.Reason.String())
			break
		}
		if res.Write && c.Minor > 0 && n.homeOf(c.Who) != n.opts.Self {
			n.mu.Lock()
			n.came[c.Who] = time.Now()
			n.mu.Unlock()
		}
	}
	var taken takenMsg
	err := n.ledger.Read(ctx, func(b *clearing.Book) { taken.Taken = b.CarriesIn(m.From) })
	return taken, err
}
