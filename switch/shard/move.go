package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// MoveReport is how far the move of a participant to another shard has come.
type MoveReport struct {
	Participant tongma.ParticipantID `json:"participant"`
	From        uint16               `json:"from"`
	To          uint16               `json:"to"`
	Moves       uint64               `json:"moves"` // how often it has moved, with this
	Done        bool                 `json:"done"`  // it is at home there
	Dry         bool                 `json:"dry_run,omitempty"`
	Goes        []MoveLine           `json:"goes,omitempty"` // what goes with it, or would
	Refused     string               `json:"refused,omitempty"`
	Next        string               `json:"next,omitempty"`
}

// MoveLine is what a participant has in one currency, in minor units.
type MoveLine struct {
	Currency string `json:"currency"`
	Cap      int64  `json:"cap_minor"`
	Prefund  int64  `json:"prefunded_minor"`
	Position int64  `json:"position_minor"` // more than zero owes
	Held     int64  `json:"held_minor"`     // stays until its payments end, and counts against the cap there
}

// Move lets a participant go to another shard, or says what would go. The same again
// finishes what was cut off. It returns when the participant has arrived, or ctx ends.
func (n *Node) Move(ctx context.Context, who tongma.ParticipantID, to uint16, dry bool) (MoveReport, error) {
	if to == 0 || to > n.opts.Count || !who.Valid() {
		return MoveReport{}, &tongma.Error{Op: "switch.shard.move", Reason: tongma.FieldInvalid, Detail: fmt.Sprintf("shards are 1 to %d", n.opts.Count)}
	}
	for hops := 0; ; hops++ {
		at := n.homeOf(who)
		var r MoveReport
		err := n.askOr(ctx, at, verbMove, moveMsg{who, to, dry}, &r, func() (any, error) { return n.letGo(ctx, moveMsg{who, to, dry}) })
		switch {
		case err != nil:
			return r, err
		case dry || r.Done || r.Refused != "":
			return r, nil
		}
		n.nudge()
		select {
		case <-ctx.Done():
			r.Next = "it has left its old shard and is under way: the same command again says how far it is"
			return r, nil
		case <-time.After(min(time.Duration(hops+1)*20*time.Millisecond, time.Second/2)):
		}
	}
}

// letGo lets a participant that is at home here go, and says how far that is.
func (n *Node) letGo(ctx context.Context, m moveMsg) (any, error) {
	r := MoveReport{Participant: m.Who, From: n.opts.Self, To: m.To, Dry: m.Dry}
	var at uint16
	var moves uint64
	var left bool
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		at, moves = b.Home(m.Who)
		for _, move := range b.Moves() {
			left = left || (move.Participant == m.Who && move.Left)
		}
		for _, p := range b.Positions() {
			if p.Participant == m.Who {
				r.Goes = append(r.Goes, MoveLine{p.Currency.Code(), p.Cap, p.Prefunded, p.Position, p.Reserved})
			}
		}
	})
	if err != nil {
		return r, err
	}
	if r.Moves = moves; at == m.To {
		n.mu.Lock()
		r.Done = !left || n.done[m.Who] >= moves
		n.mu.Unlock()
		r.Goes = nil
		if !r.Done {
			n.nudge()
		}
		return r, nil
	}
	if at != n.opts.Self {
		return r, &tongma.Error{Op: "switch.shard.move", Reason: tongma.Overloaded, Detail: fmt.Sprintf("it is at home in shard %d, or on its way there: try again", at)}
	}
	if r.Refused = n.notJoined(ctx, m.To); r.Refused != "" {
		return r, nil
	}
	switch alone, err := n.suspendedAlone(ctx, m.Who); { // it would be free of that where it comes
	case err != nil:
		return r, err
	case alone:
		r.Refused = fmt.Sprintf("it is suspended in shard %d alone: suspend it in shard 1 first, which all follow, or resume it", n.opts.Self)
		return r, nil
	}
	if m.Dry {
		return r, n.tryMove(ctx, &r, m, moves)
	}
	res, err := n.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindHome, Debtor: m.Who, Shard: m.To, Sequence: moves + 1})
	if err == nil && res.Reason != tongma.NoReason {
		r.Refused = why(res.Reason)
	}
	if r.Refused == "" {
		r.Moves = moves + 1
		n.nudge()
	}
	return r, err
}

// notJoined says why nobody can be moved yet to a shard that has joined the others: one of
// them does not know of it, or is away, and would take nothing from there.
func (n *Node) notJoined(ctx context.Context, to uint16) string {
	if to <= n.spread() {
		return ""
	}
	if to > n.opts.Count {
		return fmt.Sprintf("shard %d, where it is at home, does not know of shard %d: start it with --shard %d/%d first", n.opts.Self, to, n.opts.Self, to)
	}
	for s := uint16(1); s <= n.opts.Count; s++ {
		if s == n.opts.Self || n.counts[s].Load() >= uint32(to) {
			continue
		}
		if n.learnEpoch(ctx, s); n.counts[s].Load() < uint32(to) {
			return fmt.Sprintf("shard %d does not know of shard %d, or is away: start it with --shard %d/%d first", s, to, s, n.opts.Count)
		}
	}
	return ""
}

func why(reason tongma.Reason) string {
	switch reason {
	case tongma.PositionsOpen:
		return "participants that settle through it have payments that are not settled: move it when their windows are"
	case tongma.FieldInvalid:
		return "it settles through a sponsor: it moves with that"
	}
	return reason.Info().Title
}

// tryMove says whether the books would let it go.
func (n *Node) tryMove(ctx context.Context, r *MoveReport, m moveMsg, moves uint64) error {
	return n.ledger.Read(ctx, func(b *clearing.Book) {
		e := clearing.Entry{Kind: clearing.KindHome, Debtor: m.Who, Shard: m.To, Sequence: moves + 1}
		if v := b.Propose(&e, b.Clock()); v.Reason != tongma.NoReason {
			r.Refused = why(v.Reason)
		}
	})
}

// finishMoves brings those who have left this shard to where they go: first what they
// owe, then their caps, by which they are at home there; then all others hear of it. If
// we stop in between, nothing of them is held anywhere until the next look.
func (n *Node) finishMoves(ctx context.Context) error {
	var moves []clearing.Move
	if err := n.ledger.Read(ctx, func(b *clearing.Book) { moves = b.Moves() }); err != nil {
		return err
	}
	var faults error
	for _, m := range moves {
		n.mu.Lock()
		done := n.done[m.Participant] >= m.Moves
		n.mu.Unlock()
		if m.Left && !done {
			faults = errors.Join(faults, n.finishMove(ctx, m))
		}
	}
	return faults
}

func (n *Node) finishMove(ctx context.Context, m clearing.Move) error {
	if err := n.bringOut(ctx, m.Participant); err != nil {
		return err
	}
	if err := n.push(ctx, m.Shard); err != nil {
		return err
	}
	e := clearing.Entry{Kind: clearing.KindHome, Debtor: m.Participant, Shard: m.Shard, Sequence: m.Moves, Terms: m.Terms}
	order := []uint16{m.Shard, clearing.Head}
	for s := uint16(1); s <= n.opts.Count; s++ {
		order = append(order, s)
	}
	heard := map[uint16]bool{n.opts.Self: true}
	for _, s := range order {
		if heard[s] {
			continue
		}
		heard[s] = true
		asking, cancel := soon(ctx)
		err := n.ask(asking, s, verbHome, homeMsg{e.AppendTo(nil)}, nil)
		cancel()
		if err != nil && (s == m.Shard || s == clearing.Head) { // the others hear of it from the head
			return err
		}
	}
	n.mu.Lock()
	n.done[m.Participant] = m.Moves
	n.mu.Unlock()
	return nil
}

// comesHome takes in who comes here, or takes note of who is at home elsewhere.
func (n *Node) comesHome(ctx context.Context, m homeMsg) (any, error) {
	e, err := entryOf(m.Entry, clearing.KindHome)
	if err != nil {
		return nil, err
	}
	if e.Debtor == "" {
		return nil, &tongma.Error{Op: "switch.shard.home", Reason: tongma.FieldInvalid}
	}
	res, err := n.ledger.Submit(ctx, e)
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "switch.shard.home", Reason: res.Reason}
	}
	if err == nil {
		err = n.learnHomes(ctx)
	}
	if err == nil && res.Write && e.Shard == n.opts.Self {
		// It brings the caps that it left with; the directory may have others by now. If we
		// stop in between, the next start sees to it.
		n.spawn(func() {
			if err := n.engine.Adopt(n.ctx, n.engine.Directory()); err != nil && n.ctx.Err() == nil {
				n.opts.Logger.Warn("shard: the directory's caps of who has come are not in force", "participant", string(e.Debtor), "err", err)
			}
		})
	}
	return yesMsg{true}, err
}

// PositionLine is what somebody has in one currency over all shards that answered.
type PositionLine struct {
	Participant tongma.ParticipantID `json:"participant"`
	Currency    uint16               `json:"currency"`
	Position    int64                `json:"position"`
	Reserved    int64                `json:"reserved"`
	Prefunded   int64                `json:"prefunded"`
	Cap         int64                `json:"cap"` // where it is at home
	Suspended   bool                 `json:"suspended"`
}

// Positions adds up what everybody has in all shards, and says which did not answer:
// then the sums are of the others alone.
func (n *Node) Positions(ctx context.Context) (sums []PositionLine, missing []uint16, err error) {
	type key struct {
		who tongma.ParticipantID
		c   uint16
	}
	parts := make([][]PositionLine, n.opts.Count+1)
	faults := make([]error, n.opts.Count+1)
	ask := func(s uint16) {
		asking, cancel := soon(ctx)
		defer cancel()
		faults[s] = n.askOr(asking, s, verbPositions, struct{}{}, &parts[s], func() (any, error) { return n.ownPositions(asking) })
	}
	n.others(ask)
	if ask(n.opts.Self); faults[n.opts.Self] != nil {
		return nil, nil, faults[n.opts.Self]
	}
	at := map[key]int{}
	for s := uint16(1); s <= n.opts.Count; s++ {
		if faults[s] != nil {
			missing = append(missing, s)
			continue
		}
		for _, p := range parts[s] {
			k := key{p.Participant, p.Currency}
			i, there := at[k]
			if !there {
				i = len(sums)
				at[k] = i
				sums = append(sums, PositionLine{Participant: p.Participant, Currency: p.Currency})
			}
			x := &sums[i]
			x.Position, x.Reserved, x.Prefunded, x.Cap, x.Suspended = x.Position+p.Position, x.Reserved+p.Reserved, x.Prefunded+p.Prefunded, x.Cap+p.Cap, x.Suspended || p.Suspended
		}
	}
	return sums, missing, nil
}

func (n *Node) ownPositions(ctx context.Context) (any, error) {
	out := []PositionLine{}
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		for _, p := range b.Positions() {
			if clearing.IsTransit(p.Participant) {
				continue
			}
			line := PositionLine{Participant: p.Participant, Currency: uint16(p.Currency), Position: p.Position, Reserved: p.Reserved, Prefunded: p.Prefunded, Suspended: p.Suspended}
			if at, _ := b.Home(p.Participant); at == n.opts.Self {
				line.Cap = p.Cap
			}
			out = append(out, line)
		}
	})
	return slices.Clip(out), err
}
