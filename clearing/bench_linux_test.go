package clearing

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"golang.org/x/sys/unix"
)

// benchBanks are few: in a switch the same few accounts are hot.
const benchBanks = 8

func benchBank(n uint64) tongma.ParticipantID { return benchNames[n%benchBanks] }

var benchNames = func() (names [benchBanks]tongma.ParticipantID) {
	for i := range names {
		names[i] = tongma.ParticipantID(fmt.Sprintf("bank-%d", i))
	}
	return names
}()

// benchHold is a hold as it is in service: every field that a payment has.
func benchHold(n uint64) Entry {
	id := testID(n)
	return Entry{Kind: KindHold, Payment: id, Op: tongma.OpPay, Asker: benchBank(n), Key: id.String(), Debtor: benchBank(n + 3),
		Creditor: benchBank(n), Scheme: "bank-pay", Amount: tongma.Money{Minor: int64(n%5000) + 1, Currency: tongma.CNY}, Expiry: startMillis + 30_000,
		Content: Digest(id), Code: Digest(id), CodeTail: "1234", Merchant: "m-8000001", Order: "o-2026-11-22-000001"}
}

func benchPost(n uint64) Entry {
	return Entry{Kind: KindPost, Payment: testID(n), SchemeRef: "2026112200000000000001", Approval: "A1B2C3"}
}

// BenchmarkBookHoldPost is the Book alone: propose and apply a hold, and its posting.
func BenchmarkBookHoldPost(b *testing.B) {
	book := NewBook()
	now := int64(startMillis)
	do := func(e Entry) {
		if v := book.Propose(&e, now); !v.Write || v.Reason != tongma.NoReason {
			b.Fatal(v.Reason)
		}
		if err := book.Apply(&e); err != nil {
			b.Fatal(err)
		}
	}
	do(Entry{Kind: KindOpen})
	for _, who := range benchNames {
		do(capOf(who, math.MaxInt64/4))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range uint64(b.N) {
		do(benchHold(n + 1))
		do(benchPost(n + 1))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}

// BenchmarkGather is the writer's own work on payments of 1,024 callers who come in turns:
// each holds, then each posts. Nothing is stored.
func BenchmarkGather(b *testing.B) {
	const callers = 1024
	l := &Ledger{book: NewBook(), calls: 1, opts: LedgerOptions{Now: func() int64 { return startMillis }}}
	for _, e := range append([]Entry{{Kind: KindOpen}}, benchCaps()...) {
		l.book.Propose(&e, startMillis)
		if err := l.book.Apply(&e); err != nil {
			b.Fatal(err)
		}
	}
	drafts, all, g := make([]Draft, callers), make([]submission, callers), &group{}
	turn := func(first uint64, make func(uint64) Entry) {
		for i := range all {
			s := &all[i]
			drafts[i].Entry = make(first + uint64(i))
			s.draft, s.key, s.askable = &drafts[i], drafts[i].Entry.keyDigest(), true
			s.hands.Store(unread)
			l.queue = append(l.queue, s)
		}
		b.StartTimer()
		for len(l.queue) > 0 {
			if l.gather(g); l.fault != nil {
				b.Fatal(l.fault)
			}
			g.reset()
		}
		b.StopTimer()
		for i := range drafts {
			if !all[i].verdict.Write {
				b.Fatal(all[i].verdict.Reason)
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	for n := uint64(1); n <= uint64(b.N); n += callers {
		turn(n, benchHold)
		turn(n, benchPost)
	}
}

func benchCaps() (caps []Entry) {
	for _, who := range benchNames {
		caps = append(caps, capOf(who, math.MaxInt64/4))
	}
	return caps
}

// BenchmarkLedger is payments of two durable steps, hold and post, by so many
// callers that each wait for their own answer. Beside each figure stands what the
// same callers get from the bare minimum in the same run (floor/s): a channel, one
// write and one fdatasync a group, no Book, no chain.
func BenchmarkLedger(b *testing.B) {
	for _, kind := range []string{"file", "jetstream"} {
		for _, callers := range []int{1, 16, 64, 1024} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) { benchLedger(b, kind, callers) })
		}
	}
}

func benchLedger(b *testing.B, kind string, callers int) {
	var batches, entries atomic.Int64
	l := openLedger(b, benchStore(b, kind), LedgerOptions{OnCommit: func(_ uint64, es []Entry) {
		batches.Add(1)
		entries.Add(int64(len(es)))
	}})
	for _, who := range benchNames {
		submit(b, l, capOf(who, math.MaxInt64/4))
	}
	batches.Store(0)
	entries.Store(0)
	b.ReportAllocs()
	b.ResetTimer()
	seconds := eachCaller(b, callers, func(n uint64) {
		submit(b, l, benchHold(n))
		submit(b, l, benchPost(n))
	})
	b.StopTimer()
	f := openFloor(b)
	hold, post := benchHold(1), benchPost(1)
	holdBytes, postBytes := hold.AppendTo(nil), post.AppendTo(nil)
	floor := eachCaller(b, callers, func(uint64) {
		f.put(holdBytes)
		f.put(postBytes)
	})
	f.close()
	b.ReportMetric(float64(b.N)/seconds, "payments/s")
	b.ReportMetric(float64(b.N)/floor, "floor/s")
	b.ReportMetric(floor/seconds, "of-floor")
	b.ReportMetric(float64(entries.Load())/float64(batches.Load()), "entries/batch")
}

// eachCaller has callers share b.N payments, and returns how long it took.
func eachCaller(b *testing.B, callers int, pay func(n uint64)) (seconds float64) {
	var next atomic.Uint64
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
				pay(n)
			}
		})
	}
	all.Wait()
	return time.Since(began).Seconds()
}

func benchStore(b *testing.B, kind string) journal.Store {
	if kind == "file" {
		f, err := journal.OpenFile(filepath.Join(b.TempDir(), "journal"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.Close() })
		return f
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: b.TempDir(), SyncAlways: true, MaxPayload: 1 << 20, NoSystemAccount: true})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		b.Fatal("the server does not start")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.InProcessServer(s), nats.ReconnectBufSize(-1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	j, err := journal.OpenJetStream(b.Context(), nc, journal.JetStreamConfig{Stream: "J_0", Subject: "journal.0"})
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// floor is group commit with nothing else in it.
type floor struct {
	b     *testing.B
	f     *os.File
	calls chan floorCall
	ended chan struct{}
	done  sync.Pool
}

type floorCall struct {
	data []byte
	done chan struct{}
}

func openFloor(b *testing.B) *floor {
	file, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	f := &floor{b: b, f: file, calls: make(chan floorCall, 4096), ended: make(chan struct{})}
	f.done.New = func() any { return make(chan struct{}, 1) }
	go f.run()
	return f
}

func (f *floor) put(data []byte) {
	done := f.done.Get().(chan struct{})
	f.calls <- floorCall{data, done}
	<-done
	f.done.Put(done)
}

func (f *floor) run() {
	defer close(f.ended)
	var buf []byte
	var waiting []chan struct{}
	for c := range f.calls {
		buf, waiting = append(buf[:0], c.data...), append(waiting[:0], c.done)
		for len(waiting) < journal.MaxEntries && len(f.calls) > 0 {
			c := <-f.calls
			buf, waiting = append(buf, c.data...), append(waiting, c.done)
		}
		if _, err := f.f.Write(buf); err != nil {
			f.b.Error(err)
		}
		if err := unix.Fdatasync(int(f.f.Fd())); err != nil {
			f.b.Error(err)
		}
		for _, done := range waiting {
			done <- struct{}{}
		}
	}
}

func (f *floor) close() {
	close(f.calls)
	<-f.ended
	f.f.Close()
}
