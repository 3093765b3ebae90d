//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

// Goals of the books.
const (
	goalNet     = 1.0 // seconds, at the close of a window of ten million payments
	goalReplay  = 500_000
	goalRestart = 5.0 // seconds, with a snapshot, after ten million entries
)

// measureBooks fills a window with payments, keeps the first half of them in a
// journal, closes the window, and starts again from the journal.
func measureBooks(s settings, dir string, r *report) error {
	dir = filepath.Join(dir, "books")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	book, err := fillJournal(dir, s.payments/2)
	if err != nil {
		return err
	}
	for n := s.payments/2 + 1; n <= s.payments; n++ {
		if _, err := pair(book, n, nil); err != nil {
			return err
		}
	}
	if err := measureClose(book, s.payments, r); err != nil {
		return err
	}
	book = nil
	runtime.GC()
	return measureReplay(dir, s.payments/2, r)
}

// enter has the Book take an entry, and returns its bytes behind dst.
func enter(book *clearing.Book, e clearing.Entry, dst []byte) ([]byte, error) {
	if v := book.Propose(&e, startMillis); !v.Write || v.Reason != tongma.NoReason {
		return nil, fmt.Errorf("%s was not written: %s", e.Kind, v.Reason)
	}
	if err := book.Apply(&e); err != nil {
		return nil, err
	}
	if dst == nil {
		return nil, nil
	}
	return e.AppendTo(dst), nil
}

// pair enters a payment: a hold and its posting.
func pair(book *clearing.Book, n uint64, add func([]byte) error) (dst []byte, err error) {
	for _, fill := range []func(*clearing.Entry, uint64){hold, post} {
		var e clearing.Entry
		fill(&e, n)
		var room []byte
		if add != nil {
			room = make([]byte, 0, 320)
		}
		if dst, err = enter(book, e, room); err == nil && add != nil {
			err = add(dst)
		}
		if err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// fillJournal writes payments to a journal in dir, in full batches, and returns
// the Book that they make.
func fillJournal(dir string, payments uint64) (*clearing.Book, error) {
	store, shut, err := openEmbedded(dir)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	log, err := journal.Open(ctx, store, 0, func(journal.Batch) error { return nil })
	if err == nil {
		err = log.TakeOver(ctx, startMillis)
	}
	if err != nil {
		return nil, errors.Join(err, shut())
	}
	book, waiting, bytes := clearing.NewBook(), [][]byte(nil), 0
	flush := func() error {
		err := log.Commit(ctx, waiting, startMillis, 0)
		waiting, bytes = waiting[:0], 0
		return err
	}
	add := func(entry []byte) error {
		waiting, bytes = append(waiting, entry), bytes+len(entry)
		if len(waiting) == journal.MaxEntries || bytes > journal.MaxBytes-4096 {
			return flush()
		}
		return nil
	}
	for _, e := range openingEntries() {
		entry, err := enter(book, e, make([]byte, 0, 128))
		if err = errors.Join(err, add(entry)); err != nil {
			return nil, errors.Join(err, shut())
		}
	}
	for n := uint64(1); n <= payments && err == nil; n++ {
		_, err = pair(book, n, add)
	}
	if err == nil && len(waiting) > 0 {
		err = flush()
	}
	return book, errors.Join(err, log.Close(), shut())
}

// measureClose closes the window, nets it and makes its instructions.
func measureClose(book *clearing.Book, payments uint64, r *report) error {
	began := time.Now()
	if _, err := enter(book, clearing.Entry{Kind: clearing.KindClose}, nil); err != nil {
		return err
	}
	sheet, _ := book.Sheet(1)
	instructions := clearing.Instruct(sheet)
	took := time.Since(began)
	if count := sheet.Totals[0].Count; count != int64(payments) || len(instructions) == 0 {
		return fmt.Errorf("the window has %d payments and %d instructions, want %d payments", count, len(instructions), payments)
	}
	r.addGoal(fmt.Sprintf("close and net of %d posted payments", payments), took.Seconds(), goalNet, false, "s")
	return nil
}

// measureReplay starts from the journal, as a switch does that was stopped: once
// without a snapshot, which leaves one behind, and once with it.
func measureReplay(dir string, payments uint64, r *report) error {
	opts := clearing.LedgerOptions{Now: func() int64 { return startMillis }, Snapshot: clearing.SnapshotOptions{Path: filepath.Join(dir, "snapshot")}}
	took, entries, err := restart(dir, payments, opts)
	if err != nil {
		return err
	}
	r.addGoal(fmt.Sprintf("replay of %.0f entries at a restart without a snapshot (%.1f s)", entries, took), entries/took, goalReplay, true, "entries/s")
	read := false
	opts.Snapshot.Told = func(e clearing.SnapshotEvent) { read = read || e.Read && e.Err == nil }
	runtime.GC()
	if took, entries, err = restart(dir, payments, opts); err != nil {
		return err
	}
	if !read {
		return errors.New("the snapshot was not read")
	}
	r.addGoal(fmt.Sprintf("restart after %.0f entries with a snapshot", entries), took, goalRestart, false, "s")
	return nil
}

// restart opens the books of a journal, and closes them again. It takes so many
// seconds until they are open.
func restart(dir string, payments uint64, opts clearing.LedgerOptions) (took, entries float64, err error) {
	began := time.Now()
	store, shut, err := openEmbedded(dir)
	if err != nil {
		return 0, 0, err
	}
	l, err := clearing.OpenLedger(context.Background(), store, opts)
	if err != nil {
		return 0, 0, errors.Join(err, shut())
	}
	took, entries = time.Since(began).Seconds(), float64(l.Next()-1)
	if entries < float64(2*payments) {
		err = fmt.Errorf("%.0f entries came back, want %d", entries, 2*payments)
	}
	return took, entries, errors.Join(err, l.Close(), shut())
}
