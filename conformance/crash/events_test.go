package crash_test

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/conformance/crash"
)

// events reads each asker's whole stream of events, until nothing has come for a
// while. It returns how often the event of each entry was found there.
func (m *market) events() crash.Events {
	m.t.Helper()
	found := crash.Events{}
	for p, client := range m.clients {
		seen := map[uint64]int{}
		ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
		var once sync.Once
		idle := time.AfterFunc(3*time.Second, func() { once.Do(cancel) })
		_ = client.Events(ctx, 0, func(e native.Event) error { // it ends with the context
			idle.Reset(time.Second)
			entry, err := strconv.ParseUint(e.ID, 10, 64)
			if err != nil {
				m.t.Errorf("event %q of %s is not named by an entry", e.ID, p)
			}
			seen[entry]++
			return nil
		})
		cancel()
		found[string(p)] = seen
	}
	return found
}
