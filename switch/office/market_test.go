package office

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

const marketYAML = `
name: office
participants:
  - id: harbour
    name: Harbour Bank
    country: TH
    roles: [acquirer]
    acquirer_ids: ["00010344"]
    caps: {THB: "1000.00"}
    accepts: all
    key: creds
  - id: lotus
    name: Lotus Pay
    country: TH
    roles: [issuer]
    caps: {THB: "5000.00", JPY: "500000"}
    accepts: all
    key: creds
  - id: orchid
    name: Orchid Pay
    country: TH
    roles: [acquirer, issuer]
    suspended: true
    caps: {THB: "3000.00"}
    accepts: all
    key: creds
schemes:
  - id: lotus
    name: Lotus
    participant: lotus
    countries: all
    currencies: [THB]
calendar:
  calendars:
    - id: thb-th
      version: 1
      zone: Asia/Bangkok
      valid: {from: 2026-01-01, to: 2027-12-31}
      weekend: [saturday, sunday]
  currencies: {THB: thb-th}
  agents: {}
disputes:
  calendar: thb-th
  answer_days: 5
  pre_arbitration_days: 3
  arbitration_days: 4
  ruling_days: 10
  max_age_days: 120
  reasons:
    - {code: not-received, title: Goods were not received}
`

// market is an Office over a Ledger whose journal is in memory.
type market struct {
	*Office
	t      testing.TB
	store  *journal.Memory
	ledger *clearing.Ledger
	now    time.Time
	clock  func() time.Time // in place of now, if it is given
	ids    atomic.Uint64
}

func directory(t testing.TB, source string) *schemes.Directory {
	t.Helper()
	d, err := schemes.Parse(1, []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newMarket(t testing.TB, data string) *market {
	t.Helper()
	m := &market{t: t, store: journal.NewMemory(), now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	l, err := clearing.OpenLedger(t.Context(), m.store, clearing.LedgerOptions{Now: func() int64 { return m.time().UnixMilli() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	m.ledger = l
	d := directory(t, marketYAML)
	for _, p := range d.Participants() {
		for c, minor := range p.Caps {
			m.write(clearing.Entry{Kind: clearing.KindCap, Debtor: p.ID, Amount: tongma.Money{Minor: minor, Currency: c}})
		}
		if p.Suspended {
			m.write(clearing.Entry{Kind: clearing.KindSuspend, Debtor: p.ID})
		}
	}
	m.Office = m.open(data, d)
	return m
}

// newCourt is a market whose disputes have a window: the second.
func newCourt(t testing.TB) *market {
	m := newMarket(t, "")
	m.write(clearing.Entry{Kind: clearing.KindOpen, Model: "disputes"})
	return m
}

// open makes an Office over the ledger: as after a restart.
func (m *market) open(data string, d *schemes.Directory) *Office {
	m.t.Helper()
	o, err := New(Options{Ledger: m.ledger, Journal: m.store, Directory: func() *schemes.Directory { return d },
		Now: m.time, NewID: m.id, Data: data})
	if err != nil {
		m.t.Fatal(err)
	}
	return o
}

func (m *market) time() time.Time {
	if m.clock != nil {
		return m.clock()
	}
	return m.now
}

func (m *market) id() (id tongma.PaymentID) {
	binary.BigEndian.PutUint64(id[8:], m.ids.Add(1))
	id[0] = 1
	return id
}

func (m *market) write(e clearing.Entry) clearing.Entry {
	m.t.Helper()
	res, err := m.ledger.Submit(context.Background(), e)
	if err != nil || res.Reason != tongma.NoReason {
		m.t.Fatalf("%v: %v, %v", e.Kind, res.Reason, err)
	}
	return *res.Entry
}

func thb(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.THB} }

// pay posts a payment from lotus to harbour.
func (m *market) pay(minor int64, ref string) tongma.PaymentID {
	m.t.Helper()
	id := m.id()
	m.write(clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "harbour", Key: id.String(), Debtor: "lotus", Creditor: "harbour",
		Scheme: "lotus", Amount: thb(minor)})
	m.write(clearing.Entry{Kind: clearing.KindPost, Payment: id, SchemeRef: ref})
	return id
}

func (m *market) position(p tongma.ParticipantID, c tongma.Currency) (out clearing.Position) {
	m.t.Helper()
	if err := m.ledger.Read(context.Background(), func(b *clearing.Book) {
		for _, at := range b.Positions() {
			if at.Participant == p && at.Currency == c {
				out = at
			}
		}
	}); err != nil {
		m.t.Fatal(err)
	}
	return out
}

func (m *market) next() uint64 { return m.ledger.Next() }

func wants(t testing.TB, err error, reason tongma.Reason) {
	t.Helper()
	if tongma.ReasonOf(err) != reason {
		t.Fatalf("%v, want %v", err, reason)
	}
}
