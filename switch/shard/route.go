package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	switching "github.com/tongma/tongma/switch"
)

// Route goes by the request alone. A transfer is its asker's, who pays. The others are
// about a payment, which is looked for in the shard that its id names, then in all; or
// by its key, in the shard that the key's owner knows of.
func (n *Node) Route(ctx context.Context, r tongma.Request) (tongma.Answer, bool, error) {
	way := switching.WayOf(ctx)
	if way.Claimed {
		return tongma.Answer{}, false, nil
	}
	switch r.Op {
	case tongma.OpTransfer:
		return n.Place(ctx, r, r.From)
	case tongma.OpRefund, tongma.OpReverse, tongma.OpInquire:
		if way.Sought {
			return tongma.Answer{}, false, nil
		}
		at, err := n.seek(ctx, &r)
		if err != nil || at == n.opts.Self {
			return tongma.Answer{}, false, err
		}
		// A refund claims a key of its own there; the others claim nothing.
		a, err := n.send(ctx, r, at, switching.Way{Hops: way.Hops + 1, Sought: true, Claimed: r.Op != tongma.OpRefund})
		return a, true, err
	}
	return tongma.Answer{}, false, nil
}

// Resolve asks the wallet's home. What another shard sends is answered here: while the
// wallet moves, its quote may have to be asked for again.
func (n *Node) Resolve(ctx context.Context, r tongma.Request) (out tongma.Resolution, elsewhere bool, err error) {
	at := n.homeOf(r.From)
	if switching.WayOf(ctx).Hops > 0 || at == n.opts.Self {
		return out, false, nil
	}
	ctx, cancel := soon(ctx)
	defer cancel()
	deadline, _ := ctx.Deadline()
	r.Budget = time.Until(deadline) - replyGrace
	var got json.RawMessage
	if err = n.ask(ctx, at, verbResolve, requestMsg{From: r.From, Op: r.Op, Hops: 1, Request: r.AppendJSON(nil)}, &got); err != nil {
		if tongma.ReasonOf(err) == tongma.JournalInDoubt { // no money moves by it
			err = &tongma.Error{Op: "switch.resolve", Reason: tongma.Overloaded, Detail: fmt.Sprintf("shard %d, which keeps the wallet's quotes, did not answer: nothing was done, ask again", at), Err: err}
		}
		return out, true, err
	}
	if out, err = tongma.ParseResolution(got); err != nil {
		return out, true, unread(at, err)
	}
	return out, true, nil
}

// resolveFor resolves for a wallet that is at home here, as far as another shard knows.
func (n *Node) resolveFor(ctx context.Context, m requestMsg) (any, error) {
	r, err := tongma.ParseRequest(m.Request)
	if err != nil {
		return nil, err
	}
	r.From, r.Op = m.From, m.Op
	if r.Budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Budget)
		defer cancel()
	}
	out, err := n.engine.Resolve(switching.WithWay(ctx, switching.Way{Hops: m.Hops}), r)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(out.AppendJSON(nil)), nil
}

// seek finds the shard that a request about a payment belongs to.
func (n *Node) seek(ctx context.Context, r *tongma.Request) (uint16, error) {
	if !r.Original.IsZero() {
		return n.seekID(ctx, r.Original)
	}
	m := keyMsg{Asker: r.From, Key: r.OfKey}
	owner := clearing.OwnerOf(r.From, r.OfKey, n.spread())
	for _, at := range []uint16{owner, clearing.Head} { // the head may have paid by it before there were others
		var got keyMsg
		if err := n.askOr(ctx, at, verbHolder, m, &got, func() (any, error) { return n.holder(ctx, m) }); err != nil {
			return 0, err
		}
		if got.Shard != 0 {
			return got.Shard, nil
		}
	}
	return owner, nil // which burns the key, if it is reversed before it was used
}

func (n *Node) seekID(ctx context.Context, id tongma.PaymentID) (uint16, error) {
	order := []uint16{}
	if named := uint16(id[15]); named > 0 && named <= n.opts.Count {
		order = append(order, named)
	}
	for s := uint16(1); s <= n.opts.Count; s++ {
		if len(order) == 0 || s != order[0] {
			order = append(order, s)
		}
	}
	var last error
	for _, at := range order {
		var got yesMsg
		err := n.askOr(ctx, at, verbKnows, idMsg{id}, &got, func() (any, error) { return n.knows(ctx, id) })
		if err != nil {
			last = err
			continue
		}
		if got.Yes {
			return at, nil
		}
	}
	return n.opts.Self, last // unknown here too; or not known whether it is, since a shard is not there
}

// askOr asks a shard, or itself.
func (n *Node) askOr(ctx context.Context, shard uint16, verb string, msg, body any, own func() (any, error)) error {
	if _, bounded := ctx.Deadline(); shard != n.opts.Self && bounded && (verb == verbRaise || verb == verbStep) {
		return n.ask(ctx, shard, verb, msg, body) // it may have to read its journal first
	}
	if shard != n.opts.Self {
		ctx, cancel := soon(ctx)
		defer cancel()
		return n.ask(ctx, shard, verb, msg, body)
	}
	got, err := own()
	if err != nil {
		return err
	}
	data, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, body)
}

// Place goes by who pays.
func (n *Node) Place(ctx context.Context, r tongma.Request, debtor tongma.ParticipantID) (tongma.Answer, bool, error) {
	way := switching.WayOf(ctx)
	at := n.homeOf(debtor)
	if way.Claimed || at == n.opts.Self {
		return tongma.Answer{}, false, nil
	}
	a, err := n.pass(ctx, r, at, way)
	return a, true, err
}

// Belongs has the books' last word. While somebody moves, its two homes send a request
// to each other until it has arrived.
func (n *Node) Belongs(ctx context.Context, r tongma.Request, shard uint16) (tongma.Answer, error) {
	way := switching.WayOf(ctx)
	if holder, err := n.holderHere(ctx, &r); err != nil || (holder == shard && !way.Claimed) {
		if err != nil {
			return tongma.Answer{}, err
		}
		// Its key is that shard's, wherever its payer is at home by now: there the first
		// answer is found.
		return n.send(ctx, r, shard, switching.Way{Hops: way.Hops + 1, Sought: true, Claimed: true})
	}
	if way.Claimed { // for another payer, or for one who has moved since: nothing was held, and nothing is
		return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.ExistsOtherCode, Field: "/key"}
	}
	return n.pass(ctx, r, shard, way)
}

// holderHere returns which shard has the key that a request would use up, as far as
// this one knows.
func (n *Node) holderHere(ctx context.Context, r *tongma.Request) (holder uint16, err error) {
	key := r.Key
	if r.Op == tongma.OpReverse {
		key = r.OfKey
	}
	err = n.ledger.Read(ctx, func(b *clearing.Book) { holder = b.HolderOf(r.From, key) })
	return holder, err
}

// usedBefore tells whether a key was used in the head when there were no other shards:
// then no owner has it. A head that has nothing of that time is asked once.
func (n *Node) usedBefore(ctx context.Context, asker tongma.ParticipantID, key string) (bool, error) {
	if n.opts.Self == clearing.Head || n.fresh.Load() {
		return false, nil
	}
	var got keyMsg
	ctx, cancel := soon(ctx)
	defer cancel()
	if err := n.ask(ctx, clearing.Head, verbHolder, keyMsg{Asker: asker, Key: key}, &got); err != nil {
		return false, err
	}
	n.fresh.Store(!got.Older)
	return got.Older && got.Shard == clearing.Head, nil
}

// pass sends a request on, ever more slowly the longer it has been on its way.
func (n *Node) pass(ctx context.Context, r tongma.Request, at uint16, way switching.Way) (tongma.Answer, error) {
	if way.Hops >= mostHops {
		return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.Overloaded, Detail: "whoever pays is being moved between shards: nothing was done, try again"}
	}
	if way.Hops > 1 {
		select {
		case <-time.After(time.Duration(min(way.Hops*10, 150)) * time.Millisecond):
		case <-ctx.Done():
			return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.DeadlineTooShort, Detail: "whoever pays is being moved between shards: nothing was done"}
		}
	}
	return n.send(ctx, r, at, switching.Way{Hops: way.Hops + 1})
}

// Claim makes sure that the key of a first entry is this shard's. Refusals that no payer
// is known for belong to the key's owner, unless the request came from elsewhere.
func (n *Node) Claim(ctx context.Context, r tongma.Request, first *clearing.Entry) (tongma.Answer, bool, error) {
	way := switching.WayOf(ctx)
	owner := clearing.OwnerOf(first.Asker, first.Key, n.spread())
	if way.Claimed {
		return tongma.Answer{}, false, nil
	}
	switch used, err := n.usedBefore(ctx, first.Asker, first.Key); {
	case err != nil:
		return tongma.Answer{}, false, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.Overloaded, Detail: "shard 1, which may have its key, did not answer: nothing was done, repeat with the same key", Err: err}
	case used:
		a, err := n.send(ctx, r, clearing.Head, switching.Way{Hops: way.Hops + 1, Sought: true, Claimed: true})
		return a, true, err
	case owner == n.opts.Self: // there, the entry is the claim
		return tongma.Answer{}, false, nil
	}
	if first.Kind == clearing.KindHold || way.Hops > 0 || r.Op == tongma.OpRefund {
		var got keyMsg
		asking, cancel := soon(ctx)
		err := n.ask(asking, owner, verbClaim, keyMsg{Asker: first.Asker, Key: first.Key, Shard: n.opts.Self}, &got)
		cancel()
		if err != nil { // a key that may be ours, and has no payment: the same request again finds it so
			return tongma.Answer{}, false, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.Overloaded, Detail: fmt.Sprintf("shard %d, which keeps its key, did not answer: nothing was done, repeat with the same key", owner), Err: err}
		}
		if got.Shard == n.opts.Self {
			return tongma.Answer{}, false, nil
		}
		owner = got.Shard
	}
	a, err := n.send(ctx, r, owner, switching.Way{Hops: way.Hops + 1, Sought: true, Claimed: first.Kind == clearing.KindHold || way.Hops > 0 || r.Op == tongma.OpRefund})
	return a, true, err
}

// send has another shard carry out a request within what is left of its time.
func (n *Node) send(ctx context.Context, r tongma.Request, at uint16, way switching.Way) (tongma.Answer, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(askWithin)
	}
	if r.Budget = time.Until(deadline) - replyGrace; r.Budget < replyGrace {
		return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.DeadlineTooShort, Detail: fmt.Sprintf("there is no time to ask shard %d: nothing was done", at)}
	}
	msg := requestMsg{From: r.From, Op: r.Op, Hops: way.Hops, Sought: way.Sought, Claimed: way.Claimed, Request: r.AppendJSON(nil)}
	var got answerMsg
	if err := n.ask(ctx, at, verbDo, msg, &got); err != nil {
		return tongma.Answer{}, err
	}
	a, err := tongma.ParseAnswer(got.Answer)
	if err != nil { // it was carried out, or not: who cannot read that does not know
		return tongma.Answer{}, unread(at, err)
	}
	a.Replayed = got.Replayed
	return a, nil
}

// doFor carries out another shard's request.
func (n *Node) doFor(ctx context.Context, m requestMsg) (any, error) {
	r, err := tongma.ParseRequest(m.Request)
	if err != nil {
		return nil, err
	}
	r.From, r.Op = m.From, m.Op
	a, err := n.engine.Do(switching.WithWay(ctx, switching.Way{Hops: m.Hops, Sought: m.Sought, Claimed: m.Claimed}), r)
	if err != nil {
		return nil, err
	}
	return answerMsg{a.AppendJSON(nil), a.Replayed}, nil
}

// giveKey gives a key to the shard that asks, unless another has it.
func (n *Node) giveKey(ctx context.Context, m keyMsg) (any, error) {
	if m.Asker == clearing.OfficeAsker {
		n.ordering.Lock()
		defer n.ordering.Unlock()
	}
	res, err := n.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindClaim, Asker: m.Asker, Key: m.Key, Shard: m.Shard})
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "switch.shard.claim", Reason: res.Reason}
	}
	if err != nil {
		return nil, err
	}
	m.Shard = res.Entry.Shard
	return m, nil
}

func (n *Node) holder(ctx context.Context, m keyMsg) (any, error) {
	err := n.ledger.Read(ctx, func(b *clearing.Book) { m.Shard, m.Older = b.HolderOf(m.Asker, m.Key), b.Older() })
	return m, err
}

func (n *Node) knows(ctx context.Context, id tongma.PaymentID) (any, error) {
	var known bool
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		if _, known = b.Payment(id); !known {
			_, known = b.Dispute(id)
		}
	})
	return yesMsg{known}, err
}
