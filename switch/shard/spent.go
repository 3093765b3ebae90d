package shard

import (
	"context"
	"fmt"
	"sync"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Spent asks the shards in which a payer was at home until lately whether they have
// spent its code. None of them may be silent: then nothing is held.
func (n *Node) Spent(ctx context.Context, hold *clearing.Entry) (bool, error) {
	var former []uint16
	msg := spentMsg{Who: hold.Debtor, Code: hold.Code[:]}
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		if b.HolderOf(hold.Asker, hold.Key) == 0 { // else it is a repeat: its first answer stands
			former, msg.Moves = b.Former(hold.Debtor)
		}
	})
	if err != nil || len(former) == 0 {
		return false, err
	}
	ctx, cancel := soon(ctx)
	defer cancel()
	said, faults := make([]yesMsg, len(former)), make([]error, len(former))
	var all sync.WaitGroup
	for i, shard := range former {
		all.Go(func() { faults[i] = n.ask(ctx, shard, verbSpent, msg, &said[i]) })
	}
	all.Wait()
	for _, s := range said {
		if s.Yes {
			return true, nil
		}
	}
	for i, err := range faults {
		if err != nil {
			return false, &tongma.Error{Op: "switch." + hold.Op.String(), Reason: tongma.Overloaded, Err: err,
				Detail: fmt.Sprintf("shard %d, where the payer was at home until lately, did not say whether its code is spent: nothing was done, repeat with the same key", former[i])}
		}
	}
	return false, nil
}

// wasSpent says whether a code was spent here. Books that have not heard of the payer's
// latest move cannot say: somebody else may have gone on writing them.
func (n *Node) wasSpent(ctx context.Context, m spentMsg) (any, error) {
	var code clearing.Digest
	if copy(code[:], m.Code) != len(code) || len(m.Code) != len(code) {
		return nil, &tongma.Error{Op: "switch.shard.spent", Reason: tongma.FieldInvalid}
	}
	var spent, known bool
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		_, moves := b.Home(m.Who)
		spent, known = b.Spent(code), moves >= m.Moves
	})
	if err == nil && !known {
		err = &tongma.Error{Op: "switch.shard.spent", Reason: tongma.Overloaded, Detail: "its move is not known here yet"}
	}
	return yesMsg{spent}, err
}
