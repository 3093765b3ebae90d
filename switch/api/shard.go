package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/shard"
)

// Shards are the others of a switch that is one of several: shard.Node.
type Shards interface {
	Number() (self, count uint16)
	Move(ctx context.Context, who tongma.ParticipantID, to uint16, dry bool) (shard.MoveReport, error)
	Positions(ctx context.Context) (sums []shard.PositionLine, missing []uint16, err error)
	Differs() []string
}

// MoveBody is the body of POST /v1/participants/{id}/move.
type MoveBody struct {
	To uint16 `json:"to" doc:"number of the shard, from 1" minimum:"1"`
}

// ShardPositions are positions over all shards of a switch.
type ShardPositions struct {
	Shard   uint16     `json:"shard" doc:"which one answers"`
	Shards  uint16     `json:"of" doc:"how many there are"`
	Sums    []Position `json:"sums" doc:"over all shards but those that are missing; caps are those at home"`
	Missing []uint16   `json:"missing,omitempty" doc:"shards that did not answer: what is owed there is not in the sums"`
}

func (c *call) move() error {
	if c.cfg.Shards == nil {
		return &tongma.Error{Op: "http.move", Reason: tongma.OperationUnknown, Detail: "this switch is one shard"}
	}
	return change(c, false, func(ctx context.Context, _ Office, b MoveBody, dry bool) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, changeWithin-changeWithin/4)
		defer cancel()
		r, err := c.cfg.Shards.Move(ctx, tongma.ParticipantID(c.r.PathValue("id")), b.To, dry)
		return r, err
	})
}

// settledHere says why a window of one of several shards cannot be settled here, or not
// yet.
func (c *call) settledHere(ctx context.Context, id tongma.WindowID) error {
	var sheet clearing.Sheet
	if err := c.cfg.Engine.Ledger().Read(ctx, func(b *clearing.Book) { sheet, _ = b.Sheet(id) }); err != nil {
		return unread(err)
	}
	fault := &tongma.Error{Op: "http.settle", Reason: tongma.StateConflict, Field: id.String()}
	switch {
	case len(sheet.Awaited) > 0:
		fault.Detail = fmt.Sprintf("it is closed, and not whole: it waits for what shard %s has to hand over. Nothing was instructed; it becomes whole by itself when they are there again, and can be settled then", numbers(sheet.Awaited))
	case sheet.Linked != 0:
		fault.Detail = fmt.Sprintf("it is settled by %s of shard 1: nothing was instructed, send this there", sheet.Linked)
	default:
		return nil
	}
	return fault
}

// numbers lists shards as people do.
func numbers(shards []uint16) string {
	var out []string
	for _, s := range shards {
		out = append(out, strconv.Itoa(int(s)))
	}
	return strings.Join(out, ", ")
}

// allShards adds what the caller may see of all shards.
func (c *call) allShards(page *PositionsPage) error {
	if c.cfg.Shards == nil {
		return nil
	}
	self, count := c.cfg.Shards.Number()
	sums, missing, err := c.cfg.Shards.Positions(c.r.Context())
	if err != nil {
		return err
	}
	out := &ShardPositions{Shard: self, Shards: count, Sums: []Position{}, Missing: missing}
	for _, p := range sums {
		if !c.operator && p.Participant != c.who {
			continue
		}
		cur := tongma.Currency(p.Currency)
		out.Sums = append(out.Sums, Position{Participant: string(p.Participant), Currency: cur.Code(), Position: dec(p.Position, cur), Reserved: dec(p.Reserved, cur),
			Cap: dec(p.Cap, cur), Available: dec(max(0, p.Cap+p.Prefunded-p.Position-p.Reserved), cur), Suspended: p.Suspended})
	}
	page.Shards = out
	return nil
}
