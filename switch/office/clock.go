package office

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/dispute"
)

// ExpireDisputes does for everybody whose deadline has passed what the rules say
// of that: an answer that did not come is an acceptance, an insistence that did not
// come a withdrawal. It returns how many disputes came to an end by it. One that a
// party was quicker with is left as it is. Reasons: those of the Ledger.
func (o *Office) ExpireDisputes(ctx context.Context) (int, error) {
	const op = "office.expire-disputes"
	now := o.Now().UnixMilli()
	var passed []clearing.Dispute
	if err := o.Ledger.Read(ctx, func(b *clearing.Book) { passed = b.DisputesOver(now) }); err != nil {
		return 0, failed(op, err)
	}
	ended := 0
	var first error // what cannot be ended holds up no other
	for _, d := range passed {
		done, err := o.step(ctx, op, DisputeStep{Dispute: d.ID, Action: dispute.Expire}, dispute.Clock)
		switch reason := tongma.ReasonOf(err); {
		case err == nil && !done.Exists:
			ended++
		case reason == tongma.JournalStopped || reason == tongma.SteppedDown || reason == tongma.ShuttingDown || ctx.Err() != nil:
			return ended, err
		case err != nil && reason != tongma.DisputeTurn && reason != tongma.TooEarly:
			first = cmp.Or(first, err)
		}
	}
	return ended, first
}

// RunDisputeClock calls ExpireDisputes now and then, until ctx ends: deadlines are
// days, so every may be minutes. A fault of the journal ends it and is returned;
// other errors are given to tell, if that is not nil, and the clock goes on.
func (o *Office) RunDisputeClock(ctx context.Context, every time.Duration, tell func(error)) error {
	tick := time.NewTicker(max(every, time.Second))
	defer tick.Stop()
	for {
		_, err := o.ExpireDisputes(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var e *tongma.Error
		switch {
		case err == nil:
		case errors.As(err, &e) && (e.Reason == tongma.JournalStopped || e.Reason == tongma.SteppedDown || e.Reason == tongma.ShuttingDown):
			return err
		case tell != nil:
			tell(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
