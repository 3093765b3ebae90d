//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/tongma/tongma/clearing/journal"
	"golang.org/x/sys/unix"
)

// call is somebody who waits for something to be on the disk.
type call struct {
	record []byte
	done   chan error
}

// grouper is group commit and nothing else: whatever waits when the last sync is
// done is one batch, within the bounds of the product's.
type grouper struct {
	file  *os.File
	calls chan call
	ended chan struct{}
	done  sync.Pool
}

func startGrouper(path string) (*grouper, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	g := &grouper{file: file, calls: make(chan call, 4096), ended: make(chan struct{})}
	g.done.New = func() any { return make(chan error, 1) }
	return g, nil
}

// put waits until record is on the disk.
func (g *grouper) put(record []byte) error {
	done := g.done.Get().(chan error)
	g.calls <- call{record, done}
	err := <-done
	g.done.Put(done)
	return err
}

// run commits batches until calls is closed. begin starts a batch, take adds a
// record to it or says why not, seal ends it.
func (g *grouper) run(begin func([]byte) []byte, take func(batch []byte, c call) ([]byte, error), seal func([]byte)) {
	defer close(g.ended)
	var batch []byte
	var waiting []chan error
	for c := range g.calls {
		batch, waiting = begin(batch[:0]), waiting[:0]
		for {
			var err error
			if batch, err = take(batch, c); err != nil {
				c.done <- err
			} else {
				waiting = append(waiting, c.done)
			}
			if len(g.calls) == 0 || len(waiting) == journal.MaxEntries || len(batch) >= journal.MaxBytes {
				break
			}
			c = <-g.calls
		}
		seal(batch)
		_, err := g.file.Write(batch)
		if err == nil {
			err = unix.Fdatasync(int(g.file.Fd()))
		}
		for _, done := range waiting {
			done <- err
		}
	}
}

func (g *grouper) stop() {
	close(g.calls)
	<-g.ended
}

// floor puts down as many bytes as the product's entries have, and keeps no book.
type floor struct {
	*grouper
	hold, post []byte
}

func openFloor(dir string) (contender, error) {
	g, err := startGrouper(filepath.Join(dir, "floor"))
	if err != nil {
		return nil, err
	}
	f := &floor{grouper: g}
	f.hold, f.post = entryBytes()
	go g.run(func(b []byte) []byte { return b }, func(b []byte, c call) ([]byte, error) { return append(b, c.record...), nil }, func([]byte) {})
	return f, nil
}

func (f *floor) pay(uint64) error {
	if err := f.put(f.hold); err != nil {
		return err
	}
	return f.put(f.post)
}

func (f *floor) close(payments uint64) error {
	f.stop()
	at, err := f.file.Stat()
	if err != nil {
		return err
	}
	if want := int64(payments) * int64(len(f.hold)+len(f.post)); at.Size() != want {
		return fmt.Errorf("the file has %d bytes, want %d", at.Size(), want)
	}
	return f.file.Close()
}
