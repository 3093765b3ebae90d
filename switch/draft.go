package switching

import (
	"context"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// draft returns one that nobody has. A payment writes two entries at least, of a kilobyte
// each with what became of them: who has copied what it needs gives them back by done.
// One that had an error is the writer's, and is left to it.
func (e *Engine) draft() *clearing.Draft {
	if d, ok := e.drafts.Get().(*clearing.Draft); ok {
		d.Entry, d.Verdict = clearing.Entry{}, clearing.Verdict{}
		return d
	}
	return &clearing.Draft{View: true}
}

// done gives a draft back. Nothing of it may be used any more, nor may another shard
// have been shown it, whose answer was not waited for.
func (e *Engine) done(d *clearing.Draft) {
	if e.opts.Shards == nil {
		e.drafts.Put(d)
	}
}

// written is what became of a draft that was written, or refused. It is of the draft, and
// good as long as that is not given back.
func written(d *clearing.Draft) clearing.Result {
	res := clearing.Result{Verdict: d.Verdict, Entry: &d.Entry}
	if res.Payment == nil {
		res.Payment = &clearing.Payment{}
	}
	return res
}

// submitHold submits a hold. If there is no room for it here, that is looked for in
// other shards once, before it is refused.
func (e *Engine) submitHold(ctx context.Context, d *clearing.Draft) (clearing.Result, error) {
	if e.opts.Shards == nil {
		if err := e.ledger.Write(ctx, d); err != nil {
			return clearing.Result{}, err // and d is looked at no more
		}
		return written(d), nil
	}
	hold := d.Entry
	d.Entry.Try = true
	if err := e.ledger.Write(ctx, d); err != nil {
		return clearing.Result{}, err
	}
	if v := &d.Verdict; v.Write || v.Exists || v.Reason != tongma.OverCap {
		return written(d), nil
	}
	e.opts.Shards.Room(ctx, &hold)
	return e.ledger.Submit(ctx, hold)
}

// submit writes a course's entry. A fee never keeps a payment from being posted: the
// scheme has said yes.
func (e *Engine) submit(ctx context.Context, c *course, d *clearing.Draft) error {
	legs := d.Entry.Legs
	bare := d.Entry
	err := e.ledger.Write(ctx, d)
	if v := &d.Verdict; err == nil && !v.Write && !v.Exists && len(legs) > 0 && v.Reason != tongma.StateConflict {
		e.opts.Logger.Error("fees left out", "payment", c.id.String(), "reason", v.Reason.String())
		d.Entry, d.Verdict = bare, clearing.Verdict{}
		d.Entry.Legs = nil
		return e.ledger.Write(ctx, d)
	}
	return err
}
