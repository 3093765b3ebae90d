package native

import (
	"context"
	"sync"
	"time"
)

// budgetContext ends at a deadline, like context.WithDeadline, but starts its
// timer only when somebody asks for Done or Err. Most wallets decide at once and
// never do, and four such contexts are made for every payment.
type budgetContext struct {
	parent   context.Context
	deadline time.Time

	mu     sync.Mutex // guards what follows; the parent's own locks may be taken while it is held
	inner  context.Context
	cancel context.CancelFunc
	ended  bool
}

func newBudgetContext(parent context.Context, deadline time.Time) *budgetContext {
	return &budgetContext{parent: parent, deadline: deadline}
}

// live returns the real context behind c, making it when first needed.
func (c *budgetContext) live() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithDeadline(c.parent, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.inner
}

// end cancels c and frees its timer.
func (c *budgetContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

func (c *budgetContext) Deadline() (time.Time, bool) {
	if d, ok := c.parent.Deadline(); ok && d.Before(c.deadline) {
		return d, true
	}
	return c.deadline, true
}

func (c *budgetContext) Done() <-chan struct{} { return c.live().Done() }

func (c *budgetContext) Err() error { return c.live().Err() }

// Value looks behind the real context if there is one: package context finds its
// own there, and then needs no goroutine to pass a cancellation on.
func (c *budgetContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.parent.Value(key)
}
