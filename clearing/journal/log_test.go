package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// book stands in for the books: it keeps what replay gave it.
type book struct {
	batches []Batch
	entries []string
}

func (k *book) replay(b Batch) error {
	for _, e := range b.Entries {
		k.entries = append(k.entries, string(e))
	}
	b.Entries = nil
	k.batches = append(k.batches, b)
	return nil
}

func ignore(Batch) error { return nil }

func open(t *testing.T, s Store, choices ...Option) (*Log, *book) {
	t.Helper()
	k := &book{}
	l, err := Open(t.Context(), s, 0, k.replay, choices...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, k
}

func writer(t *testing.T, s Store, choices ...Option) (*Log, *book) {
	t.Helper()
	l, k := open(t, s, choices...)
	if err := l.TakeOver(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return l, k
}

func commit(t *testing.T, l *Log, entries ...string) {
	t.Helper()
	if err := tryCommit(t, l, entries...); err != nil {
		t.Fatalf("commit %v: %v", entries, err)
	}
}

func tryCommit(t *testing.T, l *Log, entries ...string) error {
	t.Helper()
	var raw [][]byte
	for _, e := range entries {
		raw = append(raw, []byte(e))
	}
	return l.Commit(t.Context(), raw, 2, 3)
}

// holds requires that a reader of s finds exactly entries.
func holds(t *testing.T, s Store, entries ...string) {
	t.Helper()
	_, k := open(t, s)
	if fmt.Sprint(k.entries) != fmt.Sprint(entries) {
		t.Fatalf("journal holds %v, want %v", k.entries, entries)
	}
}

func TestReplayGivesBackWhatWasCommitted(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	commit(t, l, "a", "b")
	commit(t, l, "c")
	if l.Next() != 4 || l.Epoch() != 1 {
		t.Fatalf("next %d, epoch %d", l.Next(), l.Epoch())
	}
	again, k := open(t, s)
	if fmt.Sprint(k.entries) != "[a b c]" || again.Position() != l.Position() {
		t.Fatalf("replayed %v to %+v, want %+v", k.entries, again.Position(), l.Position())
	}
	if last := k.batches[2]; last.Number != 3 || last.First != 3 || last.Time != 2 || last.Directory != 3 {
		t.Fatalf("last batch %+v", last)
	}
}

func TestCommitBeforeTakeOverIsFenced(t *testing.T) {
	l, _ := open(t, NewMemory())
	if err := tryCommit(t, l, "a"); !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
}

func TestBatchOutOfBoundsDoesNothing(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	if err := tryCommit(t, l); !errors.Is(err, ErrBounds) {
		t.Fatal(err)
	}
	commit(t, l, "a")
	holds(t, s, "a")
}

// edited writes three batches of entries, and has edit damage the messages: the
// epoch record is the first, then a, b and c.
func edited(t *testing.T, edit func([][]byte) [][]byte) *Memory {
	s := NewMemory()
	l, _ := writer(t, s)
	for _, e := range []string{"a", "b", "c"} {
		commit(t, l, e)
	}
	s.Edit(edit)
	return s
}

func TestOpenRefusesWhatWasNotWrittenAndSaysWhere(t *testing.T) {
	reseal := func(m []byte, change func(*Batch)) []byte {
		b, err := ParseBatch(m)
		if err != nil {
			t.Fatal(err)
		}
		change(&b)
		b.Root = MerkleRoot(b.Entries)
		return b.AppendTo(nil)
	}
	for _, test := range []struct {
		name string
		edit func([][]byte) [][]byte
		want string
	}{
		{"gap", func(m [][]byte) [][]byte { return append(m[:2], m[3]) }, "at sequence 3, batch 3: want batch number 3, got 4"},
		{"changed entry", func(m [][]byte) [][]byte { m[2][len(m[2])-1] ^= 1; return m }, "at sequence 3, batch 3: want the Merkle root"},
		{"changed entry, root made to fit", func(m [][]byte) [][]byte {
			m[1] = reseal(m[1], func(b *Batch) { b.Entries[0][0] ^= 1 })
			return m
		}, "at sequence 3, batch 3: want previous hash"},
		{"changed time", func(m [][]byte) [][]byte { m[1][55] ^= 1; return m }, "at sequence 3, batch 3: want previous hash"},
		{"changed length", func(m [][]byte) [][]byte { m[2] = m[2][:len(m[2])-1]; return m }, "at sequence 3, batch 3: want a batch"},
		{"swapped", func(m [][]byte) [][]byte { m[2], m[3] = m[3], m[2]; return m }, "at sequence 3, batch 3: want batch number 3, got 4"},
		{"twice", func(m [][]byte) [][]byte { return append(m, bytes.Clone(m[3])) }, "at sequence 5, batch 5: want batch number 5, got 4"},
		{"foreign shard", func(m [][]byte) [][]byte {
			m[3] = reseal(m[3], func(b *Batch) { b.Shard = 9 })
			return m
		}, "at sequence 4, batch 4: want shard 0, got shard 9"},
		{"entry numbers", func(m [][]byte) [][]byte {
			m[3] = reseal(m[3], func(b *Batch) { b.First++ })
			return m
		}, "want first entry 3, got 4"},
		{"another writer in the same epoch", func(m [][]byte) [][]byte {
			m[3] = reseal(m[3], func(b *Batch) { b.Writer++ })
			return m
		}, "want writer"},
		{"epoch without a record", func(m [][]byte) [][]byte {
			m[3] = reseal(m[3], func(b *Batch) { b.Epoch++ })
			return m
		}, "want a record of epoch 2 without entries, got 1 entries"},
		{"epoch passed over", func(m [][]byte) [][]byte {
			m[3] = reseal(m[3], func(b *Batch) { b.Epoch += 2; b.Entries = nil })
			return m
		}, "want epoch 1 or 2, got epoch 3"},
		{"no epoch record first", func(m [][]byte) [][]byte { return m[1:] }, "at sequence 1, batch 1: want a record of epoch 1"},
		{"epoch zero", func(m [][]byte) [][]byte {
			m[0] = reseal(m[0], func(b *Batch) { b.Epoch = 0 })
			return m
		}, "want epoch 1 or 1, got epoch 0"},
		{"empty batch", func(m [][]byte) [][]byte {
			m[3] = reseal(m[3], func(b *Batch) { b.Entries = nil })
			return m
		}, "want entries, got none"},
		{"something else", func(m [][]byte) [][]byte { return append(m, []byte("hello")) }, "at sequence 5, batch 5: want a batch, got 5 bytes"},
	} {
		_, err := Open(t.Context(), edited(t, test.edit), 0, ignore)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestEveryChangedBitIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	s := NewMemory()
	l, _ := writer(t, s, WithCheckpoint(path, time.Hour))
	commit(t, l, "some entry")
	commit(t, l, "another")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	flip := func(i, bit int) {
		s.Edit(func(m [][]byte) [][]byte {
			for j := range m {
				if i < len(m[j]) {
					m[j][i] ^= 1 << (bit % 8)
					break
				}
				i -= len(m[j])
			}
			return m
		})
	}
	size := 0
	s.Edit(func(m [][]byte) [][]byte {
		for j := range m {
			size += len(m[j])
		}
		return m
	})
	for bit := range 8 * size {
		flip(bit/8, bit)
		if _, err := Open(t.Context(), s, 0, ignore, WithCheckpoint(path, time.Hour)); err == nil {
			t.Fatalf("bit %d of byte %d changed, and nobody noticed", bit%8, bit/8)
		}
		flip(bit/8, bit)
	}
}

func TestTruncatedTailIsRefusedAgainstTheCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	s := NewMemory()
	l, _ := writer(t, s, WithCheckpoint(path, time.Hour))
	commit(t, l, "a")
	commit(t, l, "b")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.Lose(1)
	_, err := Open(t.Context(), s, 0, ignore, WithCheckpoint(path, time.Hour))
	if err == nil || !strings.Contains(err.Error(), "at sequence 3, batch 3: want more, up to batch 3") {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), NewMemory(), 0, ignore, WithCheckpoint(path, time.Hour)); err == nil {
		t.Fatal("an empty stream passes for one of three batches")
	}
	if _, err := Open(t.Context(), s, 0, ignore); err != nil {
		t.Fatalf("without the checkpoint nothing shows the loss: %v", err)
	}
}

func TestTailWrittenAnewIsRefusedAgainstTheCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	s := NewMemory()
	l, _ := writer(t, s, WithCheckpoint(path, time.Hour))
	commit(t, l, "a")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.Lose(1)
	other, _ := writer(t, s)
	commit(t, other, "x")
	_, err := Open(t.Context(), s, 0, ignore, WithCheckpoint(path, time.Hour))
	if err == nil || !strings.Contains(err.Error(), "batch 2: want hash") {
		t.Fatal(err)
	}
}

func TestCheckpointFileIsReadBackOrRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	if _, found, err := ReadCheckpoint(path); found || err != nil {
		t.Fatal(found, err)
	}
	p := Position{Shard: 3, Sequence: 1 << 40, Epoch: 2, Writer: 1 << 63, Number: 7, Next: 9, Hash: Hash([]byte("x"))}
	if err := WriteCheckpoint(path, p); err != nil {
		t.Fatal(err)
	}
	if got, found, err := ReadCheckpoint(path); got != p || !found || err != nil {
		t.Fatalf("%+v %v %v", got, found, err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := ParseCheckpoint(bad); err == nil {
			t.Fatalf("byte %d changed, and nobody noticed", i)
		}
		if _, err := ParseCheckpoint(whole[:i]); err == nil {
			t.Fatalf("cut at %d, and nobody noticed", i)
		}
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestSnapshotStartsWhereItWasTaken(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	commit(t, l, "a")
	taken := l.Position()
	commit(t, l, "b")
	_, k := open(t, s, From(taken))
	if fmt.Sprint(k.entries) != "[b]" {
		t.Fatalf("replayed %v", k.entries)
	}
	taken.Hash[0] ^= 1
	if _, err := Open(t.Context(), s, 0, ignore, From(taken)); err == nil || !strings.Contains(err.Error(), "as the snapshot has it") {
		t.Fatal(err)
	}
	taken.Sequence = 9
	if _, err := Open(t.Context(), s, 0, ignore, From(taken)); err == nil || !strings.Contains(err.Error(), "end of the stream") {
		t.Fatal(err)
	}
}

func TestDeposedWriterIsFencedAndLeavesNothing(t *testing.T) {
	s := NewMemory()
	old, _ := writer(t, s)
	commit(t, old, "a")
	young, k := writer(t, s)
	if fmt.Sprint(k.entries) != "[a]" || young.Epoch() != 2 {
		t.Fatalf("took over with %v in epoch %d", k.entries, young.Epoch())
	}
	for range 2 {
		if err := tryCommit(t, old, "zombie"); !errors.Is(err, ErrFenced) {
			t.Fatal(err)
		}
	}
	commit(t, young, "b")
	holds(t, s, "a", "b")
}

func TestBatchOfAnOlderEpochDoesNotCount(t *testing.T) {
	s := NewMemory()
	old, _ := writer(t, s)
	commit(t, old, "a")
	zombie := old.next(old.Epoch(), old.writer)
	zombie.Entries = [][]byte{[]byte("zombie")}
	zombie.Root = MerkleRoot(zombie.Entries)
	young, _ := writer(t, s)
	s.Put(zombie.AppendTo(nil)) // a store that does not fence
	commit(t, young, "b")       // moved by a batch that does not count: goes behind it
	holds(t, s, "a", "b")
	reader, _ := open(t, s)
	if reader.chain.Ignored() != 1 {
		t.Fatalf("ignored %d", reader.chain.Ignored())
	}
}

// A batch in doubt is settled inside Commit, whatever became of it.
func TestCommitSettlesDoubt(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults []Fault
	}{
		{"before", []Fault{LostBefore}},
		{"after", []Fault{LostAfter}},
		{"late", []Fault{LostLate}},
		{"before, then after", []Fault{LostBefore, LostAfter}},
		{"late again and again", []Fault{LostLate, LostBefore, LostLate, LostAfter}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := NewMemory()
			l, _ := writer(t, s)
			s.Fail(test.faults...)
			s.FailReads(0)
			commit(t, l, "a", "b")
			commit(t, l, "c")
			holds(t, s, "a", "b", "c")
		})
	}
}

func TestTakeOverSettlesDoubt(t *testing.T) {
	for _, f := range []Fault{LostBefore, LostAfter, LostLate} {
		s := NewMemory()
		s.Fail(f)
		l, k := writer(t, s)
		commit(t, l, "a")
		if l.Epoch() != 1 || len(k.batches) != 1 {
			t.Fatalf("fault %d: epoch %d, %d records replayed", f, l.Epoch(), len(k.batches))
		}
		holds(t, s, "a")
	}
}

func TestDoubtWhileTheStoreCannotBeReadIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		l, _ := writer(t, s)
		s.Fail(LostAfter)
		s.FailReads(20)
		commit(t, l, "a")
		holds(t, s, "a")
	})
}

func TestDoubtThatCannotBeSettledStopsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		l, _ := writer(t, s)
		s.Fail(LostAfter)
		s.FailReads(1 << 30)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := l.Commit(ctx, [][]byte{[]byte("a")}, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		s.FailReads(0)
		if err := tryCommit(t, l, "b"); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		holds(t, s, "a") // what became of it, the next Open tells
	})
}

func TestCommitAfterItsContextEndedDoesNothing(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Commit(ctx, [][]byte{[]byte("a")}, 1, 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	commit(t, l, "b")
	holds(t, s, "b")
}

func TestStoppedStoreStopsTheLogForGood(t *testing.T) {
	for f, want := range map[Fault][]string{StopBefore: nil, StopAfter: {"a"}} {
		s := NewMemory()
		l, _ := writer(t, s)
		s.Fail(f)
		for range 2 {
			if err := tryCommit(t, l, "a"); !errors.Is(err, ErrStopped) {
				t.Fatal(err)
			}
		}
		holds(t, s, want...)
	}
}

func TestAnotherWritersRecordInTheRaceFences(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	record := l.next(2, 77)
	record.Root = MerkleRoot(nil)
	s.Intrude(record.AppendTo(nil))
	s.Fail(MovedByAnother)
	if err := tryCommit(t, l, "a"); !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
	holds(t, s)
}

func TestTakeOverInARaceReadsOnAndTriesAgain(t *testing.T) {
	s := NewMemory()
	l, _ := open(t, s)
	record := l.next(1, 77)
	record.Root = MerkleRoot(nil)
	s.Intrude(record.AppendTo(nil))
	s.Fail(MovedByAnother)
	if err := l.TakeOver(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if l.Epoch() != 2 {
		t.Fatalf("epoch %d", l.Epoch())
	}
	commit(t, l, "a")
	holds(t, s, "a")
}

// Two that take over behind the same batch in the same millisecond, both in
// doubt, must not both take the one record for their own.
func TestTwoTakeOversNeverShareARecord(t *testing.T) {
	s := NewMemory()
	one, _ := open(t, s)
	two, _ := open(t, s)
	s.Fail(LostAfter, LostBefore)
	for _, l := range []*Log{one, two} {
		if err := l.TakeOver(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := tryCommit(t, one, "zombie"); !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
	commit(t, two, "a")
	holds(t, s, "a")
}

func TestGarbageBehindTheTailStops(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	s.Put([]byte("garbage"))
	var broken *ChainError
	if err := tryCommit(t, l, "a"); !errors.Is(err, ErrStopped) || !errors.As(err, &broken) || broken.Sequence != 2 {
		t.Fatal(err)
	}
}

func TestTailLostUnderTheWriterStops(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	commit(t, l, "a")
	s.Lose(1)
	if err := tryCommit(t, l, "b"); !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), "end of the stream") {
		t.Fatal(err)
	}
}

func TestStandbyFollowsAndTakesOver(t *testing.T) {
	s := NewMemory()
	old, _ := writer(t, s)
	standby, k := open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- standby.Follow(ctx) }()
	commit(t, old, "a")
	for standby.Position() != old.Position() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := standby.TakeOver(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	commit(t, standby, "b")
	if fmt.Sprint(k.entries) != "[a]" {
		t.Fatalf("standby replayed %v", k.entries)
	}
	holds(t, s, "a", "b")
}

func TestErrorOfReplayEndsTheLog(t *testing.T) {
	s := NewMemory()
	l, _ := writer(t, s)
	commit(t, l, "a")
	bad := errors.New("books do not balance")
	if _, err := Open(t.Context(), s, 0, func(Batch) error { return bad }); !errors.Is(err, bad) {
		t.Fatal(err)
	}
}
