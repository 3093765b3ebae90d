package shard

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// follow has this shard do what the head has done: go by its directory, close the windows that it has
// closed, hand over what they come to, settle those that it has settled, suspend whom it
// has suspended. Each step is found in the books, here or there, when it was done.
func (n *Node) follow(ctx context.Context) error {
	if n.opts.Self == clearing.Head {
		return nil
	}
	var own map[tongma.WindowID]tongma.WindowID
	if err := n.ledger.Read(ctx, func(b *clearing.Book) { own = b.Following() }); err != nil {
		return err
	}
	var got followedMsg
	asking, cancel := soon(ctx)
	defer cancel()
	if err := n.ask(asking, clearing.Head, verbFollow, followMsg{n.opts.Self, slices.Sorted(maps.Keys(own))}, &got); err != nil {
		return err
	}
	n.keepUp(got.Directory)
	var faults error
	for _, w := range got.Windows {
		if w.Settled {
			faults = errors.Join(faults, n.settled(ctx, own[w.Window], &w))
			continue
		}
		if err := n.handOver(ctx, &w); err != nil {
			return errors.Join(faults, err) // and none behind it: windows follow in order
		}
	}
	return errors.Join(faults, n.mirror(ctx, got.Suspended), n.hear(ctx, got.Moves))
}

// handOver closes this shard's window for one of the head's, and hands over its sheet.
// If we stop in between, the next look finds the window closed, and the head says which
// pages it has.
func (n *Node) handOver(ctx context.Context, w *followedLine) error {
	e, err := entryOf(w.Close, clearing.KindClose)
	if err != nil {
		return err
	}
	res, err := n.ledger.Submit(ctx, e)
	if err == nil && res.Reason == tongma.ModelUnknown { // nothing was ever paid in it here
		if _, err = n.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindOpen, Model: e.Model, Method: e.Method}); err == nil {
			res, err = n.ledger.Submit(ctx, e)
		}
	}
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "switch.shard.close", Reason: res.Reason, Field: w.Window.String()}
	}
	if err != nil {
		return err
	}
	var sheet clearing.Sheet
	if err := n.ledger.Read(ctx, func(b *clearing.Book) { sheet, _ = b.Sheet(res.Entry.Window) }); err != nil {
		return err
	}
	for _, page := range clearing.Pages(sheet, n.opts.Self) {
		asking, cancel := soon(ctx)
		err := n.ask(asking, clearing.Head, verbGather, pageMsg{page.AppendTo(nil)}, nil)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) settled(ctx context.Context, own tongma.WindowID, w *followedLine) error {
	e := clearing.Entry{Kind: clearing.KindSettled, Window: own, Linked: w.Window}
	copy(e.Hash[:], w.Sheet)
	res, err := n.ledger.Submit(ctx, e)
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "switch.shard.settled", Reason: res.Reason, Field: own.String()}
	}
	return err
}

// mirror suspends here whom a person has suspended in the head, or who did not pay, and
// resumes who is so no more.
func (n *Node) mirror(ctx context.Context, suspended []tongma.ParticipantID) error {
	var here, byHead []tongma.ParticipantID
	if err := n.ledger.Read(ctx, func(b *clearing.Book) { here, byHead = b.SuspendedHere(), b.SuspendedByHead() }); err != nil {
		return err
	}
	var faults error
	put := func(kind clearing.Kind, who tongma.ParticipantID) {
		_, err := n.ledger.Submit(ctx, clearing.Entry{Kind: kind, Debtor: who, Maker: clearing.ByHead, SchemeRef: "in the head"})
		faults = errors.Join(faults, err)
	}
	for _, who := range suspended {
		if !slices.Contains(here, who) && !slices.Contains(byHead, who) {
			put(clearing.KindSuspend, who)
		}
	}
	for _, who := range byHead {
		if !slices.Contains(suspended, who) {
			put(clearing.KindResume, who)
		}
	}
	return faults
}

// hear takes note of moves that the head knows of.
func (n *Node) hear(ctx context.Context, moves []moveLine) error {
	var known []clearing.Move
	if err := n.ledger.Read(ctx, func(b *clearing.Book) { known = b.Moves() }); err != nil {
		return err
	}
	at := map[tongma.ParticipantID]uint64{}
	for _, m := range known {
		at[m.Participant] = m.Moves
	}
	var faults error
	for _, m := range moves {
		if m.Moves > at[m.Who] && m.Shard != n.opts.Self { // who comes here is brought by the shard that it left
			_, err := n.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindHome, Debtor: m.Who, Shard: m.Shard, Sequence: m.Moves})
			faults = errors.Join(faults, err)
		}
	}
	return faults
}

// followed says what the head has done that a shard is to follow.
func (n *Node) followed(ctx context.Context, m followMsg) (any, error) {
	out := followedMsg{Directory: hashBytes(n.engine.Directory())}
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		for _, f := range b.Followed(m.Shard, m.Linked) {
			out.Windows = append(out.Windows, followedLine{f.Window, f.Settled, f.Sheet[:], f.Close.AppendTo(nil)})
		}
		out.Suspended = b.SuspendedHere()
		for _, move := range b.Moves() {
			out.Moves = append(out.Moves, moveLine{move.Participant, move.Shard, move.Moves})
		}
	})
	return out, err
}

// gather takes in a page of what a shard's window comes to.
func (n *Node) gather(ctx context.Context, m pageMsg) (any, error) {
	e, err := entryOf(m.Entry, clearing.KindGather)
	if err != nil {
		return nil, err
	}
	res, err := n.ledger.Submit(ctx, e)
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "switch.shard.gather", Reason: res.Reason, Field: e.Window.String()}
	}
	return yesMsg{res.Write}, err
}
