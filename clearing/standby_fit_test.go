package clearing

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tongma/tongma/clearing/journal"
)

// ofAtMost finds fault with a Book of more shards than so many.
func ofAtMost(most uint16, fault error) func(*Book) error {
	return func(b *Book) error {
		if _, of := b.Shard(); of > most {
			return fault
		}
		return nil
	}
}

// TestWhoMustNotLeadFindsOutByReading: at once, of what the journal says already; while it
// follows, of what is written later; and on the way to a take-over, of the last words of
// the writer. The writer goes on in its epoch each time.
func TestWhoMustNotLeadFindsOutByReading(t *testing.T) {
	store, fault := journal.NewMemory(), errors.New("there are more")
	l := openLedger(t, store, LedgerOptions{})
	join := func(of uint16) {
		t.Helper()
		if res, err := l.Submit(t.Context(), Entry{Kind: KindHome, Shard: 1, Shards: of}); err != nil || !res.Write {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	join(2)
	following := openStandby(t, store, LedgerOptions{})
	if err := following.Require(ofAtMost(2, fault)); err != nil {
		t.Fatal(err)
	}
	join(3)
	select {
	case <-following.Stopped():
	case <-time.After(10 * time.Second):
		t.Fatal("it follows a journal that it must not lead")
	}
	if !errors.Is(following.Err(), fault) {
		t.Errorf("ended by %v", following.Err())
	}
	if _, err := following.TakeOver(t.Context()); !errors.Is(err, fault) {
		t.Errorf("took over: %v", err)
	}
	late := openStandby(t, store, LedgerOptions{})
	if err := late.Require(ofAtMost(2, fault)); !errors.Is(err, fault) {
		t.Errorf("%v", err)
	}
	last := openStandby(t, store, LedgerOptions{})
	if err := last.Require(ofAtMost(3, fault)); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, last)
	last.halt() // it reads no more by itself
	join(4)
	if _, err := last.TakeOver(context.Background()); !errors.Is(err, fault) {
		t.Errorf("took over behind the writer's last word: %v", err)
	}
	if l.Err() != nil || l.Epoch() != 1 {
		t.Errorf("the writer is in epoch %d: %v", l.Epoch(), l.Err())
	}
	join(5)
}
