package native

import (
	"context"
	"time"

	"github.com/tongma/tongma"
)

// Pauses of PayUntilKnown between repeats, and how long one attempt may wait.
const (
	firstPause  = 200 * time.Millisecond
	longestWait = 5 * time.Second
)

// PayUntilKnown pays, and repeats with the same key until the outcome is final or
// ctx ends. A repeat is harmless: the switch answers it from what it knows. Once an
// attempt is in doubt, no later failure to reach the switch is taken for "not
// executed". If ctx ends first, the answer is the last one heard, and the error
// says SchemeSilent: unknown; go on later with the same key.
func (c *Client) PayUntilKnown(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return c.untilKnown(ctx, r, c.Pay)
}

// TransferUntilKnown does for Transfer what PayUntilKnown does for Pay.
func (c *Client) TransferUntilKnown(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return c.untilKnown(ctx, r, c.Transfer)
}

func (c *Client) untilKnown(ctx context.Context, r tongma.Request, ask func(context.Context, tongma.Request) (tongma.Answer, error)) (tongma.Answer, error) {
	var last tongma.Answer
	inDoubt := false
	for pause := firstPause; ; pause = min(2*pause, longestWait) {
		attempt, cancel := context.WithTimeout(ctx, attemptTime(r.Budget))
		a, err := ask(attempt, r)
		cancel()
		switch {
		case err == nil && a.Status.Final():
			return a, nil
		case err == nil:
			last, inDoubt = a, true
		case !repeatable(err, inDoubt):
			return a, err
		case tongma.ReasonOf(err).Info().Money == tongma.MayHaveMoved:
			inDoubt = true
		}
		if !sleep(ctx, max(pause, min(a.After, longestWait))) {
			return last, untilError(ctx, inDoubt, err)
		}
	}
}

func attemptTime(budget time.Duration) time.Duration {
	if budget <= 0 {
		return DefaultTimeout
	}
	return budget
}

// repeatable tells whether an error leaves something to find out by repeating
// with the same key: the outcome is open, or only this attempt came to nothing.
func repeatable(err error, inDoubt bool) bool {
	info := tongma.ReasonOf(err).Info()
	if info.Money == tongma.MayHaveMoved {
		return true
	}
	switch info.Reason {
	case tongma.ShuttingDown, tongma.Overloaded, tongma.JournalStopped:
		return true
	case tongma.DeadlineTooShort, tongma.NotAuthenticated:
		return inDoubt
	}
	return false
}

// untilError is what is known when the time is over.
func untilError(ctx context.Context, inDoubt bool, last error) error {
	if !inDoubt && last != nil {
		return last
	}
	return &tongma.Error{Op: "native.PayUntilKnown", Reason: tongma.SchemeSilent, Detail: "the outcome is not known yet", Err: context.Cause(ctx)}
}

// sleep waits for d. It is false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
