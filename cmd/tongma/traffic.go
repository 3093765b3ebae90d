package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/iso8583"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/switch/api"
)

// traffic is the sandbox's tills, shops and payers. It presents real codes at
// real sockets: an ISO 8583 link, NATS, and HTTP.
type traffic struct {
	node    *node
	sims    *simulators
	chaos   bool
	till    *iso8583.Client                         // acq-north
	clients map[tongma.ParticipantID]*native.Client // acq-harbour and the wallets
	conns   []*nats.Conn
	token   string // acq-north over HTTP
	http    *http.Client
	mu      sync.Mutex // guards rng and serial
	rng     *rand.Rand
	serial  uint64
}

// shot is one payment to be made.
type shot struct {
	door    string // "iso8583", "http", "nats" or "transfer"
	trace   iso8583.Trace
	repeat  bool
	asker   tongma.ParticipantID
	code    string
	amount  tongma.Money
	at      string // country of the merchant; "" for CN
	key     string
	twice   bool // sent twice at once, under the same key
	reverse bool // reversed by the acquirer when it has been answered
	refund  bool // partly refunded when it has been approved
}

// shotResult is what the asker heard.
type shotResult struct {
	asker   tongma.ParticipantID
	key     string // the asker's, for when it never learnt the id
	payment tongma.PaymentID
	status  tongma.Status
	took    time.Duration
	err     error
}

const (
	sandboxDE32 = "00010344"
	shotBudget  = 10 * time.Second
	chaosBudget = 1200 * time.Millisecond
)

func startTraffic(ctx context.Context, n *node, sims *simulators, seed uint64, chaos bool) (*traffic, error) {
	// Codes are one-time, so a run on an old folder starts where no run was yet.
	t := &traffic{node: n, sims: sims, chaos: chaos, clients: map[tongma.ParticipantID]*native.Client{}, rng: rand.New(rand.NewPCG(seed, 0x746f6e676d61)),
		serial: n.engine.Ledger().Next() * 64, http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	for _, p := range []tongma.ParticipantID{"acq-harbour", "wechatpay", "antnet", "tongbao", "thainet", "bakongnet"} {
		nc, err := n.dial(p)
		if err != nil {
			return nil, err
		}
		t.conns = append(t.conns, nc)
		c, err := native.NewClient(nc, p)
		if err != nil {
			return nil, err
		}
		t.clients[p] = c
	}
	token, err := os.ReadFile(api.TokenPath(n.cfg.data, "acq-north"))
	if err != nil {
		return nil, err
	}
	t.token = strings.TrimSpace(string(token))
	t.till, err = iso8583.Dial(ctx, n.isoAddr, iso8583.ClientConfig{DE32: sandboxDE32, LastTrace: uint32(t.serial % 900_000)})
	if err != nil {
		return nil, err
	}
	return t, t.till.SignOn(ctx)
}

func (t *traffic) stop() {
	_ = t.till.Close()
	for _, c := range t.clients {
		c.Close()
	}
	for _, nc := range t.conns {
		nc.Close()
	}
}

// next makes up the next payment. The same seed on an empty folder makes up the
// same payments.
func (t *traffic) next() shot {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serial++
	s := shot{key: fmt.Sprintf("demo-%d", t.serial)}
	if t.rng.IntN(100) < 8 {
		t.abroad(&s)
		return s
	}
	switch dice := t.rng.IntN(100); {
	case dice < 40:
		s.door, s.asker = "iso8583", "acq-north"
	case dice < 55:
		s.door, s.asker = "http", "acq-north"
	case dice < 75:
		s.door, s.asker = "nats", "acq-harbour"
	default:
		t.transfer(&s)
		return s
	}
	outcome := t.outcome()
	styles := []scripted.Style{scripted.WeChat, scripted.Alipay, scripted.UnionPay, scripted.Unified, scripted.CPM}
	style := styles[t.rng.IntN(len(styles))]
	issuer := ""
	if style == scripted.Unified {
		issuer = "1001"
	}
	s.code, _ = scripted.Code(style, issuer, outcome, t.serial) // fails only for what is not in the list above
	s.amount = t.amount(tongma.CNY)
	if s.asker == "acq-north" && style != scripted.WeChat && t.rng.IntN(4) == 0 {
		s.amount = t.amount([]tongma.Currency{tongma.THB, tongma.JPY, tongma.KWD, tongma.VND}[t.rng.IntN(4)])
	}
	if t.chaos {
		dice := t.rng.IntN(100)
		s.twice, s.reverse, s.refund = dice < 5, dice >= 5 && dice < 9, dice >= 9 && dice < 13
	}
	return s
}

// abroad makes up a payment in two currencies: Harbour's payers, who have Hong Kong
// dollars, at shops in Thailand, Kuwait and Viet Nam; PromptPay's, who have baht, with a
// code of a shop in China.
func (t *traffic) abroad(s *shot) {
	if t.rng.IntN(3) == 0 {
		s.door, s.asker, s.amount = "transfer", "thainet", t.amount(tongma.CNY)
		s.code = merchantCode("2001", fmt.Sprintf("SHOP%04d", t.rng.IntN(500)), "", tongma.CNY)
	} else {
		s.door, s.asker = []string{"iso8583", "http"}[t.rng.IntN(2)], "acq-north"
		i := t.rng.IntN(4)
		s.amount, s.at = t.amount([]tongma.Currency{tongma.THB, tongma.THB, tongma.KWD, tongma.VND}[i]), []string{"TH", "TH", "KW", "VN"}[i]
		s.code, _ = scripted.Code(scripted.Unified, "2002", t.outcome(), t.serial)
	}
	if t.chaos {
		dice := t.rng.IntN(100)
		s.twice, s.reverse, s.refund = dice < 5, dice >= 5 && dice < 9, dice >= 9 && dice < 30 && s.door != "transfer"
	}
}

// outcome is what the payer's wallet will do: mostly approve.
func (t *traffic) outcome() scripted.Outcome {
	dice := t.rng.IntN(100)
	switch {
	case dice < 2:
		return scripted.Decline51
	case dice < 3:
		return scripted.Decline05
	case !t.chaos || dice < 80:
		return scripted.Approve
	}
	odd := []scripted.Outcome{scripted.Timeout, scripted.LateApprove, scripted.AnswerTwice, scripted.Vanish, scripted.PendingApprove,
		scripted.PendingDecline, scripted.LateReverse, scripted.Busy, scripted.Flaky, scripted.AnswerTwice}
	return odd[t.rng.IntN(len(odd))]
}

func (t *traffic) amount(c tongma.Currency) tongma.Money {
	unit := int64(1)
	for range c.MinorUnits() {
		unit *= 10
	}
	most := map[tongma.Currency]int64{tongma.JPY: 9000, tongma.VND: 900_000, tongma.KWD: 20}[c]
	if most == 0 {
		most = 300
	}
	return tongma.Money{Minor: 1 + t.rng.Int64N(most*unit), Currency: c}
}

// transfer makes a merchant's code, and lets a wallet scan it.
func (t *traffic) transfer(s *shot) {
	s.door = "transfer"
	s.asker = []tongma.ParticipantID{"wechatpay", "antnet", "tongbao"}[t.rng.IntN(3)]
	s.amount = t.amount(tongma.CNY)
	acquirer := []string{"2001", "2002", "1001"}[t.rng.IntN(3)]
	if acquirer == "1001" && s.asker == "tongbao" {
		acquirer = "2001"
	}
	fixed := ""
	if t.rng.IntN(2) == 0 {
		fixed = s.amount.Decimal()
	}
	s.code = merchantCode(acquirer, fmt.Sprintf("SHOP%04d", t.rng.IntN(500)), fixed, tongma.CNY)
}

// merchantCode is a shop's code with the unified account.
func merchantCode(acquirer, merchant, amount string, c tongma.Currency) string {
	account, err := codespec.UnifiedAccount{Acquirer: acquirer, Merchant: merchant, Till: "01"}.Account()
	if err != nil {
		panic(err) // the arguments are this program's own
	}
	return shopCode(account, amount, "CN", "SHANGHAI", c)
}

// shopCode is a merchant-presented code with one account.
func shopCode(account emv.Account, amount, country, city string, c tongma.Currency) string {
	m, err := emv.Draft{Dynamic: amount != "", Accounts: []emv.Account{account}, MCC: "5812", Currency: c.Number(), Amount: amount, Country: country,
		Name: "NOODLE HOUSE", City: city}.Build()
	if err != nil {
		panic(err)
	}
	code, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return code
}

// fire makes the payment and, in chaos, what goes with it.
func (t *traffic) fire(ctx context.Context, s shot) shotResult {
	start := time.Now()
	if s.twice {
		s.trace = t.till.NextTrace()
		copied := s
		copied.repeat = true
		second := make(chan struct{})
		go func() { defer close(second); t.once(ctx, copied) }()
		defer func() { <-second }()
	}
	r := t.once(ctx, s)
	r.took = time.Since(start)
	if r.payment.IsZero() {
		return r
	}
	switch {
	case s.reverse:
		t.follow(ctx, tongma.Request{Op: tongma.OpReverse, From: s.asker, Original: r.payment, Budget: shotBudget})
	case s.refund && r.status == tongma.Paid:
		t.follow(ctx, tongma.Request{Op: tongma.OpRefund, From: s.asker, Original: r.payment, Key: s.key + "-refund",
			Amount: tongma.Money{Minor: (s.amount.Minor + 1) / 2, Currency: s.amount.Currency}, Budget: shotBudget})
	}
	return r
}

// follow asks something about an earlier payment over the asker's own door.
func (t *traffic) follow(ctx context.Context, r tongma.Request) {
	if c := t.clients[r.From]; c != nil {
		if r.Op == tongma.OpReverse {
			_, _ = c.Reverse(ctx, r) // what becomes of it is read in the books
		} else {
			_, _ = c.Refund(ctx, r)
		}
		return
	}
	if r.Op == tongma.OpReverse {
		t.post(ctx, "/v1/payments/"+r.Original.String()+"/reverse", r)
	} else {
		t.post(ctx, "/v1/payments/"+r.Original.String()+"/refunds", r)
	}
}

func (t *traffic) once(ctx context.Context, s shot) (r shotResult) {
	budget := shotBudget
	if t.chaos {
		budget = chaosBudget
	}
	ctx, cancel := context.WithTimeout(ctx, budget+time.Second)
	defer cancel()
	req := tongma.Request{Key: s.key, Code: s.code, Amount: s.amount, Budget: budget,
		Merchant: tongma.Merchant{ID: "898100012340001", Name: "SHANGHAI NOODLE HOUSE", City: "SHANGHAI", Country: "CN", MCC: "5812", Terminal: "T0000001"}}
	if s.at != "" {
		req.Merchant.Country = s.at
	}
	r.asker, r.key = s.asker, s.key
	var a tongma.Answer
	switch s.door {
	case "iso8583":
		if s.trace == (iso8583.Trace{}) {
			s.trace = t.till.NextTrace()
		}
		r.key = t.till.Key(s.trace)
		reply, err := t.till.Purchase(ctx, iso8583.Purchase{Trace: s.trace, Repeat: s.repeat, Code: s.code, Amount: s.amount, Merchant: req.Merchant, Order: s.key})
		r.err, r.payment = err, reply.Payment
		if reply.Approved() {
			r.status = tongma.Paid
		} else if !reply.Undecided() {
			r.status = tongma.Refused
		}
		return r
	case "http":
		a, r.err = t.post(ctx, "/v1/payments", req)
	case "nats":
		a, r.err = t.clients[s.asker].Pay(ctx, req)
	default:
		req.Merchant = tongma.Merchant{}
		var found tongma.Resolution
		if found, r.err = t.clients[s.asker].Resolve(ctx, tongma.Request{Code: s.code, Amount: s.amount}); r.err == nil {
			req.Quote = found.Exchange.Quote // its payer has seen it
			a, r.err = t.clients[s.asker].Transfer(ctx, req)
		}
	}
	r.payment, r.status = a.Payment, a.Status
	return r
}

func (t *traffic) post(ctx context.Context, path string, r tongma.Request) (a tongma.Answer, err error) {
	key := r.Key
	r.Key, r.Original = "", tongma.PaymentID{}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.node.httpAddr+path, bytes.NewReader(r.AppendJSON(nil)))
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+t.token)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set(tongma.HeaderKey, key)
	}
	res, err := t.http.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, tongma.MaxMessage))
	if err != nil {
		return a, err
	}
	if res.StatusCode >= 300 {
		p, err := tongma.ParseProblem(body)
		if err != nil {
			return a, fmt.Errorf("http %d", res.StatusCode)
		}
		return a, p.Err("http")
	}
	return tongma.ParseAnswer(body)
}

// quantile returns the q-th of the durations, in milliseconds.
func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	i := min(int(q*float64(len(took))), len(took)-1)
	return float64(took[i].Microseconds()) / 1000
}
