package journal

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const benchEntry = 200 // bytes

func benchStore(b *testing.B, kind string) Store {
	if kind == "file" {
		return openFile(b, filepath.Join(b.TempDir(), "journal"))
	}
	return openJetStream(b, connect(b, serve(b, b.TempDir())))
}

func benchWriter(b *testing.B, s Store) *Log {
	b.Helper()
	l, err := Open(b.Context(), s, 0, ignore)
	if err != nil {
		b.Fatal(err)
	}
	if err := l.TakeOver(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	return l
}

func benchCommit(b *testing.B, kind string) {
	for _, size := range []int{1, 64, MaxEntries} {
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			l := benchWriter(b, benchStore(b, kind))
			entries := sample(size, benchEntry)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := l.Commit(b.Context(), entries, 1, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkCommitJetStream(b *testing.B) { benchCommit(b, "jetstream") }

// BenchmarkCommitFile is the floor: one write and one fdatasync for each batch.
func BenchmarkCommitFile(b *testing.B) { benchCommit(b, "file") }

// BenchmarkGroupCommit has callers that each wait for their own entry; the writer
// takes whatever has arrived.
func BenchmarkGroupCommit(b *testing.B) {
	for _, kind := range []string{"jetstream", "file"} {
		for _, callers := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) {
				groupCommit(b, benchWriter(b, benchStore(b, kind)), callers)
			})
		}
	}
}

type call struct {
	entry []byte
	done  chan error
}

func groupCommit(b *testing.B, l *Log, callers int) {
	calls := make(chan call, callers)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var entries [][]byte
		var waiting []chan error
		for c := range calls {
			entries, waiting = append(entries[:0], c.entry), append(waiting[:0], c.done)
			for len(entries) < MaxEntries && len(calls) > 0 {
				c := <-calls
				entries, waiting = append(entries, c.entry), append(waiting, c.done)
			}
			err := l.Commit(context.Background(), entries, 1, 1)
			for _, done := range waiting {
				done <- err
			}
		}
	}()
	var wg sync.WaitGroup
	each := max(b.N/callers, 1)
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			c := call{make([]byte, benchEntry), make(chan error, 1)}
			for range each {
				calls <- c
				if err := <-c.done; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(each*callers)/b.Elapsed().Seconds(), "entries/s")
	close(calls)
	<-ended
}

func BenchmarkReplay(b *testing.B) {
	for _, kind := range []string{"jetstream", "file"} {
		for _, size := range []int{1, 100, MaxEntries} {
			b.Run(fmt.Sprintf("%s/entries=%d", kind, size), func(b *testing.B) {
				s := benchStore(b, kind)
				l := benchWriter(b, s)
				batches := min(200_000/size, 4000)
				entries := sample(size, benchEntry)
				for range batches {
					if err := l.Commit(b.Context(), entries, 1, 1); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				began := time.Now()
				for range b.N {
					again, err := Open(b.Context(), s, 0, ignore)
					if err != nil {
						b.Fatal(err)
					}
					if again.Next() != l.Next() {
						b.Fatalf("replayed up to %d, want %d", again.Next(), l.Next())
					}
				}
				b.ReportMetric(float64(b.N*batches*size)/time.Since(began).Seconds(), "entries/s")
			})
		}
	}
}

// BenchmarkCommitMemory is what a commit costs without any store.
func BenchmarkCommitMemory(b *testing.B) {
	l := benchWriter(b, discard{})
	entries := sample(MaxEntries, benchEntry)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := l.Commit(b.Context(), entries, 1, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// discard is a store that keeps nothing.
type discard struct{ Store }

func (discard) Append(_ context.Context, last uint64, _ []byte) (uint64, error) { return last + 1, nil }
func (discard) Read(context.Context, uint64, func(uint64, []byte) error) error  { return nil }
