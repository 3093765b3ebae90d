//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

// banks are few: in a switch the same few accounts are hot.
const banks = 8

var bankNames = func() (names [banks]tongma.ParticipantID) {
	for i := range names {
		names[i] = tongma.ParticipantID(fmt.Sprintf("bank-%d", i))
	}
	return names
}()

// startMillis is 2026-11-22 00:00 UTC, the time of every entry.
const startMillis = 1_795_305_600_000

func paymentID(n uint64) (id tongma.PaymentID) {
	binary.BigEndian.PutUint64(id[:8], 0x0192_0000_0000_7000)
	binary.BigEndian.PutUint64(id[8:], 0x8000_0000_0000_0000|n)
	return id
}

// hold makes e a hold as it is in service: every field that a payment has.
func hold(e *clearing.Entry, n uint64) {
	id := paymentID(n)
	*e = clearing.Entry{}
	e.Kind, e.Payment, e.Op, e.Asker, e.Key = clearing.KindHold, id, tongma.OpPay, bankNames[n%banks], id.String()
	e.Debtor, e.Creditor, e.Scheme = bankNames[(n+3)%banks], bankNames[n%banks], "bank-pay"
	e.Amount, e.Expiry = tongma.Money{Minor: int64(n%5000) + 1, Currency: tongma.CNY}, startMillis+30_000
	e.Content, e.Code, e.CodeTail = clearing.Digest(id), clearing.Digest(id), "1234"
	e.Merchant, e.Order = "m-8000001", "o-2026-11-22-000001"
}

// post makes e the posting of it.
func post(e *clearing.Entry, n uint64) {
	*e = clearing.Entry{}
	e.Kind, e.Payment, e.SchemeRef, e.Approval = clearing.KindPost, paymentID(n), "2026112200000000000001", "A1B2C3"
}

// entryBytes returns a hold and a posting as the product writes them.
func entryBytes() (holdBytes, postBytes []byte) {
	book := clearing.NewBook()
	submit := func(e *clearing.Entry) []byte {
		book.Propose(e, startMillis)
		if err := book.Apply(e); err != nil {
			panic(err) // the entries are constants
		}
		return e.AppendTo(nil)
	}
	for _, e := range openingEntries() {
		submit(&e)
	}
	var h, p clearing.Entry
	hold(&h, 1)
	post(&p, 1)
	return submit(&h), submit(&p)
}

// openingEntries opens the first window and gives every bank a cap that is
// checked and never reached.
func openingEntries() []clearing.Entry {
	entries := []clearing.Entry{{Kind: clearing.KindOpen}}
	for _, who := range bankNames {
		entries = append(entries, clearing.Entry{Kind: clearing.KindCap, Debtor: who, Amount: tongma.Money{Minor: math.MaxInt64 / 4, Currency: tongma.CNY}})
	}
	return entries
}

// product is a Ledger on some store.
type product struct {
	drafts sync.Pool
	ledger *clearing.Ledger
	store  journal.Store
	shut   func() error
}

func openProduct(dir string) (contender, error) {
	store, shut, err := openEmbedded(dir)
	if err != nil {
		return nil, err
	}
	return openLedger(store, shut)
}

func openFileLedger(dir string) (contender, error) {
	f, err := journal.OpenFile(filepath.Join(dir, "journal"))
	if err != nil {
		return nil, err
	}
	return openLedger(f, f.Close)
}

// openEmbedded starts a server in this process that syncs every message, as
// `tongma serve` does, and connects to it within the process.
func openEmbedded(dir string) (journal.Store, func() error, error) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
		SyncAlways: true, MaxPayload: 1 << 20, NoSystemAccount: true})
	if err != nil {
		return nil, nil, err
	}
	s.Start()
	stop := func() error { s.Shutdown(); s.WaitForShutdown(); return nil }
	if !s.ReadyForConnections(20 * time.Second) {
		return nil, nil, errors.Join(errors.New("the embedded server does not start"), stop())
	}
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	shut := func() error { nc.Close(); return stop() }
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	store, err := journal.OpenJetStream(ctx, nc, journal.JetStreamConfig{Stream: "J_0", Subject: "journal.0"})
	if err != nil {
		return nil, nil, errors.Join(err, shut())
	}
	return store, shut, nil
}

func openLedger(store journal.Store, shut func() error) (contender, error) {
	l, err := clearing.OpenLedger(context.Background(), store, clearing.LedgerOptions{Now: func() int64 { return startMillis }})
	if err != nil {
		return nil, errors.Join(err, shut())
	}
	p := &product{ledger: l, store: store, shut: shut}
	p.drafts.New = func() any { return new(clearing.Draft) }
	for _, e := range openingEntries()[1:] { // OpenLedger opens the window
		r, err := l.Submit(context.Background(), e)
		if err := written(&r.Verdict, err); err != nil {
			return nil, errors.Join(err, l.Close(), shut())
		}
	}
	return p, nil
}

func written(v *clearing.Verdict, err error) error {
	if err == nil && (!v.Write || v.Reason != tongma.NoReason) {
		err = fmt.Errorf("it was not written: %s", v.Reason)
	}
	return err
}

func (p *product) pay(n uint64) error {
	d := p.drafts.Get().(*clearing.Draft)
	hold(&d.Entry, n)
	err := written(&d.Verdict, p.ledger.Write(context.Background(), d))
	if err == nil {
		post(&d.Entry, n)
		err = written(&d.Verdict, p.ledger.Write(context.Background(), d))
	}
	if err == nil {
		p.drafts.Put(d)
	}
	return err
}

// close replays the journal into a new Book and compares it with the Ledger's.
func (p *product) close(payments uint64) error {
	var live []clearing.Position
	var sheets []clearing.Sheet
	err := p.ledger.Read(context.Background(), func(b *clearing.Book) { live, sheets = b.Positions(), b.Sheets(0) })
	if err = errors.Join(err, p.ledger.Close()); err != nil {
		return err
	}
	book := clearing.NewBook()
	_, err = journal.Open(context.Background(), p.store, 0, func(b journal.Batch) error { return book.Replay(b, nil) })
	if err == nil && !(reflect.DeepEqual(book.Positions(), live) && reflect.DeepEqual(book.Sheets(0), sheets)) {
		err = errors.New("replay of the journal gives another book than the Ledger had")
	}
	if posted := sheets[0].Totals[0].Count; err == nil && posted != int64(payments) {
		err = fmt.Errorf("%d payments are posted, want %d", posted, payments)
	}
	return errors.Join(err, p.shut())
}
