package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// crashStore opens the store that a child process is killed on, and its parent
// reads afterwards.
func crashStore(t *testing.T, kind, dir string) (Store, func()) {
	if kind == "file" {
		f, err := OpenFile(filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		return f, func() { f.Close() }
	}
	s := serve(t, dir)
	nc := connect(t, s)
	return openJetStream(t, nc), func() { nc.Close(); stopServer(s) }
}

// commitUntilKilled is the child: it commits batches of one to fifty numbers and
// prints the last number of each when it is acknowledged.
func commitUntilKilled(t *testing.T, kind, dir string) {
	s, _ := crashStore(t, kind, dir)
	l, err := Open(t.Context(), s, 0, ignore, WithCheckpoint(filepath.Join(dir, "checkpoint"), 10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.TakeOver(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for {
		var entries [][]byte
		for next := l.Next(); len(entries) < 1+rand.IntN(50); next++ {
			entries = append(entries, []byte(strconv.FormatUint(next, 10)))
		}
		if err := l.Commit(t.Context(), entries, time.Now().UnixMilli(), 1); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("acked %d\n", l.Next()-1)
	}
}

// runAndKill runs the child for a while, kills it, and returns the last number
// that it said was acknowledged.
func runAndKill(t *testing.T, kind, dir string, life time.Duration) (acked uint64) {
	child := exec.Command(os.Args[0], "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$")
	child.Env = append(os.Environ(), "JOURNAL_CRASH_STORE="+kind, "JOURNAL_CRASH_DIR="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var once sync.Once
	for lines.Scan() {
		n, found := strings.CutPrefix(lines.Text(), "acked ")
		if !found {
			t.Errorf("child says %q", lines.Text())
			continue
		}
		if acked, err = strconv.ParseUint(n, 10, 64); err != nil {
			t.Error(err)
		}
		once.Do(func() { time.AfterFunc(life, func() { child.Process.Kill() }) })
	}
	child.Wait()
	return acked
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	if dir := os.Getenv("JOURNAL_CRASH_DIR"); dir != "" {
		commitUntilKilled(t, os.Getenv("JOURNAL_CRASH_STORE"), dir)
		return
	}
	t.Parallel()
	for _, kind := range []string{"jetstream", "file"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			for round := range 4 {
				acked := runAndKill(t, kind, dir, time.Duration(100+rand.IntN(300))*time.Millisecond)
				if acked == 0 {
					t.Fatal("the child acknowledged nothing")
				}
				s, close := crashStore(t, kind, dir)
				l, k := open(t, s, WithCheckpoint(filepath.Join(dir, "checkpoint"), time.Hour))
				for i, e := range k.entries {
					if e != strconv.Itoa(i+1) {
						t.Fatalf("entry %d is %q", i+1, e)
					}
				}
				if got := uint64(len(k.entries)); got < acked {
					t.Fatalf("round %d: %d acknowledged, %d there", round, acked, got)
				}
				t.Logf("round %d: %d acknowledged, %d there, epoch %d", round, acked, len(k.entries), l.Epoch())
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				close()
			}
		})
	}
}

// proxy stands between a client and its server, and loses what it is told to.
type proxy struct {
	listener     net.Listener
	target       string
	losesAnswers atomic.Bool // what the server says
	losesAsked   atomic.Bool // what the client says

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func startProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", p.target)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			go carry(server, client, &p.losesAsked)
			go carry(client, server, &p.losesAnswers)
		}
	}()
	return p
}

func carry(to io.WriteCloser, from io.ReadCloser, loses *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !loses.Load() {
			to.Write(buf[:n])
		}
	}
}

// cut ends all connections; those that follow are whole again.
func (p *proxy) cut() {
	p.losesAnswers.Store(false)
	p.losesAsked.Store(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// The real server, an acknowledgement or a batch lost on the wire, and then the
// connection: each is settled, and stored once.
func TestBatchOrAckLostOnTheWireIsSettled(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	p := startProxy(t, s.Addr().String())
	nc, err := nats.Connect("nats://"+p.listener.Addr().String(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	store, err := OpenJetStream(t.Context(), nc, JetStreamConfig{Stream: "J_0", Subject: "journal.0", PublishTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, _ := writer(t, store)
	var want []string
	for i := range 10 {
		loses := &p.losesAnswers
		if i%2 == 1 {
			loses = &p.losesAsked
		}
		loses.Store(true)
		time.AfterFunc(time.Duration(50+50*i)*time.Millisecond, p.cut)
		want = append(want, fmt.Sprint("entry ", i))
		commit(t, l, want[i])
	}
	holds(t, openJetStream(t, connect(t, s)), want...)
}

func TestServerThatIsGoneForGoodStopsTheLog(t *testing.T) {
	s := serve(t, t.TempDir())
	nc, err := nats.Connect(s.ClientURL(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	l, _ := writer(t, openJetStream(t, nc))
	stopServer(s)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := l.Commit(ctx, [][]byte{[]byte("a")}, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := tryCommit(t, l, "b"); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
}

// A new writer gets in against one that never pauses.
func TestTakeOverAgainstABusyWriter(t *testing.T) {
	t.Parallel()
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			old, _ := writer(t, s)
			acked := make(chan []string)
			go func() {
				var mine []string
				for {
					e := fmt.Sprint("old ", len(mine))
					if err := old.Commit(context.Background(), [][]byte{[]byte(e)}, 1, 1); err != nil {
						if !errors.Is(err, ErrFenced) {
							t.Error(err)
						}
						acked <- mine
						return
					}
					mine = append(mine, e)
				}
			}()
			time.Sleep(20 * time.Millisecond)
			young, _ := open(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it is a matter of luck, and of processors
			defer cancel()
			began := time.Now()
			if err := young.TakeOver(ctx, 1); err != nil {
				t.Fatal(err)
			}
			t.Logf("took over in %v", time.Since(began))
			commit(t, young, "young")
			holds(t, s, append(<-acked, "young")...)
		})
	}
}

func TestTornEndOfAFileIsCutAndDamageIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	f := openFile(t, path)
	for i := range uint64(3) {
		if _, err := f.Append(t.Context(), i, []byte(fmt.Sprint("message ", i))); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	frame := len(whole) / 3
	reopen := func(data []byte) (uint64, error) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(path)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return f.Last(t.Context())
	}
	for cut := 1; cut < frame; cut++ {
		if last, err := reopen(whole[:len(whole)-cut]); last != 2 || err != nil {
			t.Fatalf("cut by %d: %d %v", cut, last, err)
		}
	}
	for _, zeros := range []int{1, frame, 1000} {
		if last, err := reopen(append(whole[:len(whole):len(whole)], make([]byte, zeros)...)); last != 3 || err != nil {
			t.Fatalf("%d zeros: %d %v", zeros, last, err)
		}
	}
	for at := range 2 * frame {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 0x10
		want := fmt.Sprintf("message %d at offset %d: damaged", at/frame+1, at/frame*frame)
		if last, err := reopen(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("byte %d: %d messages, %v, want %q", at, last, err, want)
		}
	}
}

func TestFileHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	openFile(t, path)
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
}

func TestFailedDiskIsNotTriedAgain(t *testing.T) {
	f := openFile(t, filepath.Join(t.TempDir(), "journal"))
	l, _ := writer(t, f)
	f.f.Close()
	for range 2 {
		if err := tryCommit(t, l, "a"); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	}
	if _, err := f.Append(t.Context(), 1, []byte("a")); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
}
