package settle

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// DrillOptions say which default is rehearsed.
type DrillOptions struct {
	Seed     uint64 // everything made up follows from it
	Banks    int    // 3 to 26; default 8
	Payments int    // 1 to 50,000; default 400
	Fail     int    // how many of the largest net debtors cannot pay; default 1
	Now      func() time.Time
	Told     func(Event) // as it happens; may be nil
}

// DrillRow is who paid what, in minor units.
type DrillRow struct {
	Participant tongma.ParticipantID
	Failed      bool
	Net         int64 // of the window as it was closed: more than zero owes
	Paid        int64 // from its own account
	Prefunding  int64 // from its own prefunding
	ForOthers   int64 // for those who failed
	Received    int64
	Next        int64 // its net in the next window, so far: what was deferred, and what covers left behind
}

// DrillReport is how a drill went.
type DrillReport struct {
	Failed   []tongma.ParticipantID
	Before   clearing.Sheet // as the window was closed
	After    clearing.Sheet // as it was settled
	Events   []Event
	Rows     []DrillRow
	Deferred int // payments
	Audit    clearing.Report
	Took     time.Duration // of the settlement
}

// drill is a market at work: its books in memory, and its agent behind real HTTP.
type drill struct {
	opts   DrillOptions
	market *market
	dir    *schemes.Directory
	store  *journal.Memory
	ledger *clearing.Ledger
	agent  *agentsim.Server
	client *Client
	report DrillReport
}

// Drill lets the largest net debtors of a made-up market fail, and has its window
// settled by the default rules: over a Ledger, and with a settlement agent that
// listens on loopback and speaks ISO 20022. The window must settle in this one go; the
// books are audited afterwards, and held against the agent's money. The error says
// what was not as it must be.
func Drill(ctx context.Context, opts DrillOptions) (DrillReport, error) {
	opts.Banks, opts.Payments, opts.Fail = cmp.Or(opts.Banks, 8), cmp.Or(opts.Payments, 400), cmp.Or(opts.Fail, 1)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Banks < 3 || opts.Banks > 26 || opts.Payments < 1 || opts.Payments > 50_000 || opts.Fail < 1 || opts.Fail > opts.Banks-2 {
		return DrillReport{}, &tongma.Error{Op: "settle.drill", Reason: tongma.FieldInvalid, Detail: "3 to 26 banks, 1 to 50,000 payments, and two banks that do not fail"}
	}
	d := &drill{opts: opts, store: journal.NewMemory()}
	payments := d.invent()
	err := d.open(ctx)
	if err == nil {
		err = d.run(ctx, payments)
	}
	return d.report, errors.Join(err, d.close())
}

type drillPayment struct {
	debtor, creditor tongma.ParticipantID
	minor            int64
}

// invent makes up the payments, and sizes the market so that every layer is needed:
// prefunding of 30 % of a failing debtor's net, a fund of 20 % of the largest, and
// shares of 20 % at most.
func (d *drill) invent() (payments []drillPayment) {
	rnd := mathrand.New(mathrand.NewPCG(d.opts.Seed, 20))
	d.market = &market{recast: true, prefunding: map[tongma.ParticipantID]int64{}, balance: map[tongma.ParticipantID]int64{}}
	for i := range d.opts.Banks {
		d.market.banks = append(d.market.banks, tongma.ParticipantID("bank-"+string(rune('a'+i))))
	}
	sums := map[[2]int]*clearing.Obligation{}
	var matrix []clearing.Obligation
	for range d.opts.Payments {
		from, to := min(rnd.IntN(d.opts.Banks), rnd.IntN(d.opts.Banks)), rnd.IntN(d.opts.Banks-1) // the first pay most
		if to >= from {
			to++
		}
		p := drillPayment{d.market.banks[from], d.market.banks[to], 1 + rnd.Int64N(100_000)}
		payments = append(payments, p)
		if sums[[2]int{from, to}] == nil {
			sums[[2]int{from, to}] = &clearing.Obligation{Debtor: p.debtor, Creditor: p.creditor, Currency: tongma.CNY}
		}
		sums[[2]int{from, to}].Gross += p.minor
	}
	for _, o := range sums {
		matrix = append(matrix, *o)
	}
	nets, _ := clearing.Net(matrix)
	slices.SortFunc(nets, func(x, y clearing.NetFigure) int {
		return cmp.Or(cmp.Compare(y.Net, x.Net), cmp.Compare(x.Participant, y.Participant))
	})
	for _, n := range nets {
		d.market.balance[n.Participant] = drillCap / 100
	}
	for i, n := range nets[:min(d.opts.Fail, len(nets))] {
		if n.Net <= 0 {
			break
		}
		d.report.Failed = append(d.report.Failed, n.Participant)
		d.market.balance[n.Participant], d.market.prefunding[n.Participant] = 0, n.Net*3/10
		if i == 0 {
			d.market.fund = n.Net / 5
		}
	}
	for i, b := range d.market.banks {
		d.market.shares = append(d.market.shares, schemes.LossShare{Participant: b, Weight: int64(1 + i%4), CapMinor: max(1, d.market.fund/int64(d.opts.Banks))})
	}
	return payments
}

func (d *drill) open(ctx context.Context) (err error) {
	if d.dir, err = d.market.directory(); err != nil {
		return err
	}
	d.ledger, err = clearing.OpenLedger(ctx, d.store, clearing.LedgerOptions{Now: func() int64 { return d.opts.Now().UnixMilli() }})
	if err != nil {
		return err
	}
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	token := hex.EncodeToString(secret)
	if d.agent, err = agentsim.New(agentsim.Options{Token: token, Now: d.opts.Now, Accounts: d.market.accounts()}); err != nil {
		return err
	}
	addr, err := d.agent.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	d.client = NewClient(ClientOptions{Agent: drillAgent, Directory: d.directory, URL: "http://" + addr.String(), Token: token, Now: d.opts.Now})
	return nil
}

func (d *drill) directory() *schemes.Directory { return d.dir }

func (d *drill) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var err error
	if d.agent != nil {
		err = d.agent.Close(ctx)
	}
	if d.ledger != nil {
		err = errors.Join(err, d.ledger.Close())
	}
	return err
}

func (d *drill) book(ctx context.Context, e clearing.Entry) error {
	res, err := d.ledger.Submit(ctx, e)
	if err == nil && (res.Reason != tongma.NoReason || !res.Write) {
		err = &tongma.Error{Op: "settle.drill." + e.Kind.String(), Reason: res.Reason}
	}
	return err
}

// trade sets caps and prefunding, and posts the payments.
func (d *drill) trade(ctx context.Context, payments []drillPayment) error {
	for _, b := range d.market.banks {
		if err := d.book(ctx, clearing.Entry{Kind: clearing.KindCap, Debtor: b, Amount: tongma.Money{Minor: drillCap, Currency: tongma.CNY}}); err != nil {
			return err
		}
		if p := d.market.prefunding[b]; p > 0 {
			if err := d.book(ctx, clearing.Entry{Kind: clearing.KindDeposit, Key: "drill-" + string(b), Debtor: b, Amount: tongma.Money{Minor: p, Currency: tongma.CNY}}); err != nil {
				return err
			}
		}
	}
	for i, p := range payments {
		id := tongma.PaymentID{0: 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}
		hold := clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: id, Asker: p.creditor, Key: fmt.Sprint("drill-", i), Debtor: p.debtor, Creditor: p.creditor,
			Scheme: drillScheme, Amount: tongma.Money{Minor: p.minor, Currency: tongma.CNY}}
		if err := d.book(ctx, hold); err != nil {
			return err
		}
		if err := d.book(ctx, clearing.Entry{Kind: clearing.KindPost, Payment: id}); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) run(ctx context.Context, payments []drillPayment) error {
	if err := d.trade(ctx, payments); err != nil {
		return err
	}
	var err error
	if d.report.Before, err = Close(ctx, d.ledger, d.dir, "", 0, d.opts.Now()); err != nil {
		return err
	}
	s := New(Options{Ledger: d.ledger, Directory: d.directory, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return d.client }, Told: d.opts.Told})
	began := time.Now()
	settled, err := s.Settle(ctx, d.report.Before.Window, How{})
	d.report.Took = time.Since(began)
	if err != nil {
		return err
	}
	d.report.After, d.report.Events = settled.Sheet, settled.Events
	if !settled.Done() {
		return &tongma.Error{Op: "settle.drill", Reason: tongma.FundsMissing, Detail: fmt.Sprintf("the window did not settle: %v", settled.Open)}
	}
	return d.check(ctx)
}

// check says who paid what, audits the books, and holds them against the agent's.
func (d *drill) check(ctx context.Context) error {
	var next clearing.Sheet
	if err := d.ledger.Read(ctx, func(b *clearing.Book) { next, _ = b.Sheet(d.report.Before.Window + 1) }); err != nil {
		return err
	}
	for _, b := range append(slices.Clone(d.market.banks), drillFund) {
		d.report.Rows = append(d.report.Rows, d.row(b, next))
	}
	for _, e := range d.report.Events {
		d.report.Deferred += e.Count
	}
	var err error
	if d.report.Audit, err = clearing.Audit(ctx, d.store, clearing.AuditOptions{}); err != nil {
		return err
	}
	if !d.report.Audit.OK {
		return &tongma.Error{Op: "settle.drill", Reason: tongma.Internal, Detail: fmt.Sprintf("the audit of the books found %v", d.report.Audit.Findings)}
	}
	return d.reconcile()
}

func (d *drill) row(b tongma.ParticipantID, next clearing.Sheet) DrillRow {
	row := DrillRow{Participant: b, Failed: slices.Contains(d.report.Failed, b), Net: netOf(d.report.Before, b), Next: netOf(next, b)}
	for _, e := range d.report.Events {
		switch {
		case e.Kind == "collected" && e.From == b:
			row.Paid += e.Money.Minor
		case e.Kind == "prefunding" && e.From == b:
			row.Prefunding += e.Money.Minor
		case (e.Kind == "guarantee" || e.Kind == "share") && e.From == b:
			row.ForOthers += e.Money.Minor
		case e.Kind == "paid" && e.To == b:
			row.Received += e.Money.Minor
		}
	}
	return row
}

func netOf(s clearing.Sheet, b tongma.ParticipantID) int64 {
	for _, n := range s.Nets {
		if n.Participant == b {
			return n.Net
		}
	}
	return 0
}

// reconcile holds what the agent's accounts hold against what the drill says: each
// account moved by exactly that, and nothing stays on the settlement account.
func (d *drill) reconcile() error {
	wrong := func(p tongma.ParticipantID, got, want int64) error {
		return &tongma.Error{Op: "settle.drill", Reason: tongma.Internal, Detail: fmt.Sprintf("the agent's account of %s holds %d, and should hold %d", p, got, want)}
	}
	if got := d.agent.Balance(drillAccount, tongma.CNY); got != 0 {
		return wrong("the switch", got, 0)
	}
	for _, r := range d.report.Rows {
		start := d.market.balance[r.Participant]
		if r.Participant == drillFund {
			start = d.market.fund
		}
		if got, want := d.agent.Balance(accountNumber(r.Participant), tongma.CNY), start-r.Paid-r.ForOthers+r.Received; got != want {
			return wrong(r.Participant, got, want)
		}
		if got, want := d.agent.Balance(prefundingNumber(r.Participant), tongma.CNY), d.market.prefunding[r.Participant]-r.Prefunding; got != want {
			return wrong(r.Participant, got, want)
		}
		// What one owed is what it paid, what it got, and what it still owes.
		if owed := r.Paid + r.Prefunding - r.Received + r.Next + r.ForOthers; owed != r.Net {
			return &tongma.Error{Op: "settle.drill", Reason: tongma.Internal, Detail: fmt.Sprintf("%s owed %d, and this window and the next account for %d", r.Participant, r.Net, owed)}
		}
	}
	return nil
}
