package crash_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// events reads each asker's whole stream of events, until nothing has come for a
// while. It returns how often the event of each entry was found there.
func (m *market) events() map[tongma.ParticipantID]map[uint64]int {
	m.t.Helper()
	found := map[tongma.ParticipantID]map[uint64]int{}
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
		found[p] = seen
	}
	return found
}

// compareEvents checks that each asker was told how every payment ended that it
// had heard "pending" of, and of nothing twice. It returns how many that were. An
// end that was itself undone may have been passed over.
func (b *books) compareEvents(t *testing.T, found map[tongma.ParticipantID]map[uint64]int) (told int) {
	t.Helper()
	for who, seen := range found {
		for entry, times := range seen {
			if times != 1 {
				t.Errorf("%s was told %d times of entry %d", who, times, entry)
			}
		}
	}
	for id, p := range b.payments {
		seen := found[tongma.ParticipantID(p.first.Asker)]
		if p.told == 0 || seen == nil {
			continue
		}
		told++
		if seen[p.told] == 0 {
			t.Errorf("%s was not told of entry %d, the end (%s) of %s", p.first.Asker, p.told, p.phase, id)
		}
	}
	return told
}
