package clearing

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma/clearing/journal"
)

// toldSnapshots collects what became of snapshots.
type toldSnapshots struct {
	mu     sync.Mutex
	events []SnapshotEvent
}

func (t *toldSnapshots) hear(e SnapshotEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

func (t *toldSnapshots) take() []SnapshotEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.events
	t.events = nil
	return out
}

// lived opens a Ledger, lets it live, and closes it; it returns what its Book was and
// how many entries it read.
func lived(t *testing.T, store journal.Store, opts LedgerOptions, live func(*Ledger)) (snapshot []byte, replayed []uint64) {
	t.Helper()
	opts.Now = func() int64 { return startMillis }
	opts.OnReplay = func(es []Entry) {
		for i := range es {
			replayed = append(replayed, es[i].Number)
		}
	}
	l, err := OpenLedger(t.Context(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	if live != nil {
		live(l)
	}
	if err := l.Read(t.Context(), func(b *Book) { snapshot = b.AppendSnapshot(nil, journal.Position{Next: b.Next()}) }); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return snapshot, replayed
}

func paying(t *testing.T, first, last uint64) func(*Ledger) {
	return func(l *Ledger) {
		for n := first; n <= last; n++ {
			for _, e := range []Entry{capOf("bank-a", 1_000_000), hold(n, "bank-a", "shop-b", 10), {Kind: KindPost, Payment: testID(n)}} {
				if _, err := l.Submit(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestAStartReadsTheSnapshotAndWhatIsBehindIt: and comes to the Book that the whole
// journal gives.
func TestAStartReadsTheSnapshotAndWhatIsBehindIt(t *testing.T) {
	store, path, heard := journal.NewMemory(), filepath.Join(t.TempDir(), "book"), &toldSnapshots{}
	with := LedgerOptions{Snapshot: SnapshotOptions{Path: path, Told: heard.hear}}
	lived(t, store, with, paying(t, 1, 20))
	if e := heard.take(); len(e) != 1 || e[0].Read || e[0].Err != nil {
		t.Fatalf("%+v", e)
	}
	without, _ := lived(t, store, LedgerOptions{}, paying(t, 21, 23))
	got, read := lived(t, store, with, nil)
	if e := heard.take(); len(e) != 1 || !e[0].Read || e[0].Err != nil {
		// Nothing happened in that life, so that no other one was written.
		if len(e) != 2 || e[1].Read || e[1].Err != nil {
			t.Fatalf("%+v", e)
		}
	}
	if string(got) != string(without) {
		t.Error("another Book")
	}
	if len(read) != 6 || read[0] != 43 {
		t.Errorf("read %v", read)
	}
	see := with
	see.Snapshot.See = 40
	if _, read := lived(t, store, see, nil); len(read) == 0 || read[0] > 40 || read[len(read)-1] != 48 || !slices.IsSorted(read) {
		t.Errorf("shown %v", read)
	}
}

// TestASnapshotThatDoesNotFitIsPassedOver: damaged, of another journal, of another
// shard, or ahead of the journal. The Book is right all the same.
func TestASnapshotThatDoesNotFitIsPassedOver(t *testing.T) {
	store, path, heard := journal.NewMemory(), filepath.Join(t.TempDir(), "book"), &toldSnapshots{}
	with := LedgerOptions{Snapshot: SnapshotOptions{Path: path, Told: heard.hear}}
	want, _ := lived(t, store, with, paying(t, 1, 5))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, foreign := journal.NewMemory(), filepath.Join(t.TempDir(), "other")
	lived(t, other, LedgerOptions{Snapshot: SnapshotOptions{Path: foreign}}, paying(t, 7, 12))
	elsewhere, _ := os.ReadFile(foreign)
	b, at, _ := ParseSnapshot(good)
	shard, ahead := at, at
	shard.Shard++
	ahead.Sequence += 100
	for name, data := range map[string][]byte{"damaged": append(slices.Clone(good[:len(good)-1]), 1), "empty": {}, "of another journal": elsewhere,
		"of another shard": b.AppendSnapshot(nil, shard), "ahead": b.AppendSnapshot(nil, ahead)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		heard.take()
		got, read := lived(t, store, with, nil)
		if string(got) != string(want) || len(read) == 0 || read[0] != 1 {
			t.Errorf("%s: another Book, or read only %v", name, read)
		}
		if e := heard.take(); len(e) == 0 || !e[0].Read || e[0].Err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestSnapshotsAreMadeInTheBackground: every so many entries, by a Ledger and by a
// Standby, without the writer.
func TestSnapshotsAreMadeInTheBackground(t *testing.T) {
	store, path, heard := journal.NewMemory(), filepath.Join(t.TempDir(), "book"), &toldSnapshots{}
	opts := LedgerOptions{Now: func() int64 { return startMillis }, Snapshot: SnapshotOptions{Path: path, Every: 10, Told: heard.hear}}
	l, err := OpenLedger(t.Context(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	paying(t, 1, 10)(l)
	written := func() (n int) {
		for _, e := range heard.take() {
			if e.Err == nil && !e.Read {
				n++
			}
		}
		return n
	}
	wait := func(what string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); written() == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	wait("the Ledger made none")
	standby := opts
	standby.Snapshot.Path = filepath.Join(t.TempDir(), "standby")
	s, err := OpenStandby(t.Context(), store, standby)
	if err != nil {
		t.Fatal(err)
	}
	paying(t, 11, 40)(l)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if b, _, err := ReadSnapshotFile(standby.Snapshot.Path); err == nil && b != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the Standby made none")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, at, err := ReadSnapshotFile(standby.Snapshot.Path)
	if err != nil || b == nil || at.Next != b.Next() {
		t.Errorf("%+v %v", at, err)
	}
	again, err := OpenStandby(t.Context(), store, standby)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	next, err := again.TakeOver(ctx)
	if err != nil {
		t.Fatal(err)
	}
	paying(t, 41, 42)(next)
	if err := errors.Join(next.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestASnapshotThatCannotBeWrittenLeavesTheOldOne: what cannot be written leaves the old one.
func TestASnapshotThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "book")
	b := replayed(t, life(t))
	if err := WriteSnapshotFile(path, b, behind(b)); err != nil {
		t.Fatal(err)
	}
	if err := WriteSnapshotFile(filepath.Join(dir, "nowhere", "book"), b, behind(b)); err == nil {
		t.Error("no error")
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 {
		t.Errorf("%v are left", names)
	}
	if got, _, err := ReadSnapshotFile(path); err != nil || got == nil {
		t.Error(err)
	}
	if got, _, err := ReadSnapshotFile(filepath.Join(dir, "none")); err != nil || got != nil {
		t.Errorf("%v %v", got, err)
	}
}
