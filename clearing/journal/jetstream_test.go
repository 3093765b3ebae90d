package journal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// serve starts a JetStream server on dir that syncs always, in this process.
func serve(t testing.TB, dir string) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true, MaxPayload: 1 << 20, NoSystemAccount: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	t.Cleanup(func() { stopServer(s) })
	return s
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func connect(t testing.TB, s *server.Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append([]nats.Option{nats.InProcessServer(s), nats.ReconnectBufSize(-1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func openJetStream(t testing.TB, nc *nats.Conn) *JetStream {
	t.Helper()
	j, err := OpenJetStream(context.Background(), nc, JetStreamConfig{Stream: "J_0", Subject: "journal.0"})
	if err != nil {
		t.Fatal(err)
	}
	j.few = 16 // most tests write little, and are to read it by consumers
	return j
}

// stores are the durable ones, held to one contract.
func stores(t *testing.T) map[string]Store {
	return map[string]Store{"memory": NewMemory(), "file": openFile(t, t.TempDir()+"/journal"), "jetstream": openJetStream(t, connect(t, serve(t, t.TempDir())))}
}

func openFile(t testing.TB, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestEveryStoreKeepsThePromise(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			if last, err := s.Last(t.Context()); last != 0 || err != nil {
				t.Fatal(last, err)
			}
			const count = 40 // more than few
			var want []string
			for i := range uint64(count) {
				message := fmt.Sprintf("message %d %s", i+1, strings.Repeat("x", int(i)))
				if seq, err := s.Append(t.Context(), i, []byte(message)); seq != i+1 || err != nil {
					t.Fatal(seq, err)
				}
				want = append(want, message)
			}
			for _, wrong := range []uint64{0, count - 1, count + 1} {
				if _, err := s.Append(t.Context(), wrong, []byte("no")); !errors.Is(err, ErrMoved) {
					t.Fatalf("behind %d: %v", wrong, err)
				}
			}
			for _, from := range []uint64{1, 2, count - 3, count, count + 1} {
				next := from
				err := s.Read(t.Context(), from, func(seq uint64, message []byte) error {
					if seq != next || string(message) != want[seq-1] {
						return fmt.Errorf("sequence %d has %q", seq, message)
					}
					next++
					return nil
				})
				if err != nil || next != count+1 {
					t.Fatalf("from %d: read up to %d: %v", from, next, err)
				}
			}
			for _, from := range []uint64{1, count} {
				if err := s.Read(t.Context(), from, func(uint64, []byte) error { return errSeen }); err != errSeen {
					t.Fatalf("error of the caller came back as %v", err)
				}
			}
			tailKeepsThePromise(t, s, want)
		})
	}
}

func tailKeepsThePromise(t *testing.T, s Store, want []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Tail(ctx, 3, func(seq uint64, message []byte) error {
			got <- fmt.Sprint(seq, string(message))
			return nil
		})
	}()
	want = append(want, "one more")
	if _, err := s.Append(ctx, uint64(len(want)-1), []byte("one more")); err != nil {
		t.Fatal(err)
	}
	for i := 2; i < len(want); i++ {
		if line := <-got; line != fmt.Sprint(i+1, want[i]) {
			t.Fatalf("tail gave %q", line)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := s.Tail(t.Context(), 1, func(uint64, []byte) error { return errSeen }); err != errSeen {
		t.Fatal(err)
	}
}

func TestEveryStoreCarriesTheLog(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			old, _ := writer(t, s)
			big := string(make([]byte, MaxBytes))
			commit(t, old, "a", "b")
			commit(t, old, big)
			young, _ := writer(t, s)
			if err := tryCommit(t, old, "zombie"); !errors.Is(err, ErrFenced) {
				t.Fatal(err)
			}
			commit(t, young, "c")
			holds(t, s, "a", "b", big, "c")
		})
	}
}

func TestStreamWithOtherSettingsIsRefused(t *testing.T) {
	nc := connect(t, serve(t, t.TempDir()))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "J_0", Subjects: []string{"journal.0"}, Storage: jetstream.MemoryStorage, MaxAge: time.Hour, MaxMsgs: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenJetStream(t.Context(), nc, JetStreamConfig{Stream: "J_0", Subject: "journal.0"})
	for _, setting := range []string{"storage", "discard", "max age", "max messages", "deny delete", "deny purge"} {
		if err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s is not named: %v", setting, err)
		}
	}
}

func TestStreamGrowsButIsNeverOtherwiseChanged(t *testing.T) {
	nc := connect(t, serve(t, t.TempDir()))
	for _, test := range []struct{ ask, want int64 }{{1 << 20, 1 << 20}, {1 << 21, 1 << 21}, {1 << 20, 1 << 21}, {0, -1}} {
		j, err := OpenJetStream(t.Context(), nc, JetStreamConfig{Stream: "J_0", Subject: "journal.0", MaxBytes: test.ask})
		if err != nil {
			t.Fatal(err)
		}
		if got := j.stream.CachedInfo().Config.MaxBytes; got != test.want {
			t.Fatalf("asked for %d, has %d, want %d", test.ask, got, test.want)
		}
	}
}

func TestFullStreamStopsAndLosesNothing(t *testing.T) {
	nc := connect(t, serve(t, t.TempDir()))
	j, err := OpenJetStream(t.Context(), nc, JetStreamConfig{Stream: "J_0", Subject: "journal.0", MaxBytes: 10 << 10})
	if err != nil {
		t.Fatal(err)
	}
	l, _ := writer(t, j)
	var kept []string
	for i := 0; ; i++ {
		entry := fmt.Sprint(i, strings.Repeat("x", 1000))
		err := tryCommit(t, l, entry)
		if errors.Is(err, ErrStopped) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, entry)
	}
	if len(kept) < 5 {
		t.Fatalf("only %d fitted", len(kept))
	}
	holds(t, j, kept...)
}

// restart starts the server of dir anew where it was, after a while.
func restart(t *testing.T, dir, address string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	s, err := server.NewServer(&server.Options{
		Host: host, Port: number, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true, MaxPayload: 1 << 20, NoSystemAccount: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stopServer(s) })
}

// The server goes away before a commit and comes back: the doubt is settled, and
// who follows the stream goes on following.
func TestServerThatGoesAwayLeavesDoubtThatIsSettled(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	address := s.Addr().String()
	nc, err := nats.Connect("nats://"+address, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	store := openJetStream(t, nc)
	l, _ := writer(t, store)
	commit(t, l, "a")
	follower, k := open(t, store)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	following, ended := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- follower.Follow(following) }()

	stopServer(s)
	committed := make(chan error, 1)
	go func() { committed <- l.Commit(ctx, [][]byte{[]byte("b")}, 1, 1) }()
	restart(t, dir, address)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	commit(t, l, "c")
	holds(t, store, "a", "b", "c")
	for follower.Position() != l.Position() && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	ended()
	if err := <-done; !errors.Is(err, context.Canceled) || fmt.Sprint(k.entries) != "[a b c]" {
		t.Fatalf("followed %v: %v", k.entries, err)
	}
}

// TestWhatAStandbyIsBehindByNeedsNoConsumer: where none can be made, as while a cluster
// has nobody to make it, the stream's leader is asked, and soon done.
func TestWhatAStandbyIsBehindByNeedsNoConsumer(t *testing.T) {
	s := serve(t, t.TempDir())
	writer := openJetStream(t, connect(t, s))
	for i := range uint64(fewMessages - 1) {
		if _, err := writer.Append(t.Context(), i, fmt.Append(nil, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	j := openJetStream(t, connect(t, s))
	j.few = fewMessages
	var made atomic.Int64
	if _, err := writer.nc.Subscribe("$JS.API.CONSUMER.>", func(*nats.Msg) { made.Add(1) }); err != nil {
		t.Fatal(err)
	}
	next, began := uint64(1), time.Now()
	err := j.Read(t.Context(), 1, func(seq uint64, message []byte) error {
		if seq != next || string(message) != fmt.Sprint(seq) {
			return fmt.Errorf("sequence %d has %q", seq, message)
		}
		next++
		return nil
	})
	if err != nil || next != fewMessages || made.Load() != 0 {
		t.Errorf("read up to %d, with %d questions of consumers: %v", next-1, made.Load(), err)
	}
	t.Logf("%d messages in %v", next-1, time.Since(began))
	enough := errors.New("enough")
	if err := j.Read(t.Context(), 1, func(uint64, []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error of the caller came back as %v", err)
	}
}

// TestReadingLeavesNoConsumerBehind: however often and however far the journal is
// read, the server's limit of consumers for one stream is never reached.
func TestReadingLeavesNoConsumerBehind(t *testing.T) {
	j := openJetStream(t, connect(t, serve(t, t.TempDir())))
	for i := range 2 * j.few {
		if _, err := j.Append(t.Context(), i, []byte("message")); err != nil {
			t.Fatal(err)
		}
	}
	enough := errors.New("enough")
	for range 20 {
		if err := j.Read(t.Context(), 1, func(seq uint64, _ []byte) error { return enough }); !errors.Is(err, enough) {
			t.Fatal(err)
		}
		if err := j.Read(t.Context(), 1, func(uint64, []byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		info, err := j.stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Consumers == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d consumers are left of 40 readings", info.State.Consumers)
		}
	}
}

// A consumer that is gone before it is asked, or in the middle of a reading, is
// replaced by another: everything comes once, in order. So it is on a cluster,
// where the server of a consumer just made may not answer yet, or die.
func TestReadingOutlivesItsConsumers(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	j := openJetStream(t, connect(t, s))
	const count = pullMessages + 500 // several pulls
	for i := range uint64(count) {
		if err := j.nc.Publish("journal.0", fmt.Append(nil, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	for last := uint64(0); last < count; time.Sleep(time.Millisecond) {
		last, _ = j.Last(t.Context())
	}
	ctx, cancel := context.WithCancel(t.Context())
	taken, ended := 0, make(chan struct{})
	other := openJetStream(t, connect(t, s)) // an info over j's own connection would wait behind its messages
	go func() {
		defer close(ended)
		for ; ctx.Err() == nil && taken < 8; time.Sleep(time.Millisecond) {
			for name := range other.stream.ConsumerNames(ctx).Name() {
				if other.stream.DeleteConsumer(ctx, name) == nil {
					taken++
				}
			}
		}
	}()
	next := uint64(1)
	err := j.Read(t.Context(), 1, func(seq uint64, message []byte) error {
		if seq != next || string(message) != fmt.Sprint(next) {
			return fmt.Errorf("sequence %d has %q, want %d", seq, message, next)
		}
		next++
		if next%100 == 0 {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	cancel()
	<-ended
	if err != nil || next != count+1 || taken == 0 {
		t.Fatalf("read up to %d of %d, %d consumers taken away: %v", next-1, count, taken, err)
	}
	t.Logf("%d consumers taken away", taken)
}
