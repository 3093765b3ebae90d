package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
)

const answerHelp = `The answer is on stdout, also when it is a no. Exit code 0: approved (or undone, if that was asked);
7: declined or reversed; 9: not known yet, unless --wait ends it. A switch that cannot be reached is 4.
Without --key a key is made, and shown on stderr: to repeat a request is to send the same key.`

func newPayCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "pay",
		Short: "Pay with a payer's code, and look after payments",
		Example: `  tongma pay send --code 7710... --amount 12.50 --currency CNY --as acq-north
  tongma pay get pay_01jd...
  tongma pay ls --limit 10
  tongma pay refund pay_01jd... --amount 2.50 --currency CNY --as acq-north`,
	}, newSendCmd(a, tongma.OpPay), newPayGetCmd(a), newPayListCmd(a), newReverseCmd(a), newRefundCmd(a))
}

func newTransferCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:     "transfer",
		Short:   "Pay a merchant's code, as the payer's wallet does",
		Example: `  tongma transfer send --code 000201... --amount 12.50 --currency CNY --as tongbao`,
	}, newSendCmd(a, tongma.OpTransfer))
}

// money is what the commands that ask for money to move have in common.
type money struct {
	target
	key      string
	wait     bool
	amount   string
	currency string
}

func (m *money) flags(cmd *cobra.Command) {
	m.target.flags(cmd)
	m.asFlag(cmd, true)
	cmd.Flags().StringVar(&m.key, "key", "", "idempotency key, at most 64 printable characters; default: a new one")
	cmd.Flags().BoolVar(&m.wait, "wait", false, "wait, up to --timeout, until it is decided")
}

func (m *money) amountFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.amount, "amount", "", "amount in major units: 12.50")
	cmd.Flags().StringVar(&m.currency, "currency", "", "ISO 4217 currency: CNY")
	completeCurrency(cmd)
}

func (m *money) value() (tongma.Money, error) {
	c, err := currencyOf(m.currency)
	if err != nil {
		return tongma.Money{}, err
	}
	return amountOf(m.amount, c)
}

// ask sends a request under an idempotency key, follows it if that was asked, and
// shows the answer.
func (m *money) ask(a *app, cmd *cobra.Command, path string, r tongma.Request) error {
	tell := false
	if m.key == "" {
		m.key = "cli-" + strings.ToLower(rand.Text())
		tell = true
	}
	if err := (&tongma.Request{Key: m.key, Code: r.Code, Order: r.Order, Merchant: r.Merchant}).Check(); err != nil {
		return err
	}
	if spare := m.timeout - 2*time.Second; spare > 0 { // the switch answers before the client gives up
		r.Budget = min(spare, 10*time.Minute)
	}
	return a.with(cmd, &m.target, func(ctx context.Context, c *client) error {
		if tell { // before it is sent: it can be repeated whatever happens
			a.say("key %s", m.key)
		}
		got, err := c.ask(ctx, http.MethodPost, path, m.key, r.AppendJSON(nil))
		if err != nil {
			return err
		}
		answer, err := readAnswer(got)
		if err != nil {
			return err
		}
		if got.replayed {
			a.say("the same key was used before: this is that answer, and nothing new was asked")
		}
		if m.wait {
			answer, got.body = c.follow(ctx, answer, got.body)
		}
		return a.showAnswer(&answer, got.body, r.Op)
	})
}

func readAnswer(got reply) (tongma.Answer, error) {
	answer, err := tongma.ParseAnswer(got.body)
	if err != nil {
		return answer, &exitError{code: exitInconclusive, err: fmt.Errorf("the answer cannot be read: %w", err), money: tongma.MayHaveMoved.String()}
	}
	return answer, nil
}

// follow asks again, as often as the switch says makes sense, until the payment
// is decided or ctx ends. What was known last is the answer.
func (c *client) follow(ctx context.Context, answer tongma.Answer, body []byte) (tongma.Answer, []byte) {
	for !answer.Status.Final() && !answer.Payment.IsZero() {
		pause := time.NewTimer(min(max(answer.After, 200*time.Millisecond), 5*time.Second))
		select {
		case <-ctx.Done():
			pause.Stop()
			return answer, body
		case <-pause.C:
		}
		got, err := c.ask(ctx, http.MethodGet, "/v1/payments/"+answer.Payment.String(), "", nil)
		var refused *problemError
		if errors.As(err, &refused) && refused.problem.Status < 500 {
			return answer, body
		}
		if err != nil {
			continue // the switch may be on its way up again: ctx bounds it
		}
		if next, err := tongma.ParseAnswer(got.body); err == nil {
			answer, body = next, got.body
		}
	}
	return answer, body
}

// raw is JSON that is passed on byte for byte.
type raw []byte

// MarshalJSON returns the bytes.
func (r raw) MarshalJSON() ([]byte, error) { return r, nil }

// showAnswer prints an answer as the switch gave it and ends with the exit code
// that it means.
func (a *app) showAnswer(answer *tongma.Answer, body []byte, op tongma.Operation) error {
	a.print(raw(body), func(w io.Writer) { a.drawAnswer(w, answer) })
	switch {
	case answer.Status == tongma.Pending:
		if !answer.Payment.IsZero() {
			a.say("not decided yet: tongma pay get %s", answer.Payment)
		}
		return &exitError{code: exitInconclusive}
	case answer.Status == tongma.ReversedBack && op == tongma.OpReverse, answer.Status == tongma.Paid && op != tongma.OpReverse:
		return nil
	case op == tongma.OpInquire:
		return nil
	}
	return &exitError{code: exitConflict}
}

func (a *app) drawAnswer(w io.Writer, r *tongma.Answer) {
	p := a.paint(w)
	mark := map[tongma.Status]string{tongma.Paid: p.green("✓ approved"), tongma.Refused: p.red("✗ declined"),
		tongma.ReversedBack: p.yellow("↩ reversed"), tongma.Pending: p.yellow("… pending")}[r.Status]
	head := mark
	if r.Amount.Currency.Valid() {
		head += "  " + p.bold(r.Amount.String())
	}
	fmt.Fprintln(w, head+"  "+r.Payment.String())
	drawExchange(w, &r.Exchange)
	if r.Reason != tongma.NoReason {
		info := r.Reason.Info()
		field(w, "Money", moneyText(info.Money.String()))
		field(w, "Why", info.Reason.Code()+" "+info.Title)
		if r.Status != tongma.Paid {
			field(w, "Do", adviceOf(&info))
		}
	}
	field(w, "Detail", r.Detail)
	from, to := r.Issuer, r.Acquirer
	if !r.Original.IsZero() { // money that goes back
		field(w, "Of", r.Original.String())
		from, to = to, from
	}
	if from != "" && to != "" {
		field(w, "From", string(from)+" to "+string(to)+" by "+string(r.Scheme))
	}
	if r.SchemeRef != "" || r.Approval != "" {
		field(w, "Ref", strings.TrimSpace(r.SchemeRef+"  approval "+r.Approval))
	}
	if r.Window != 0 {
		field(w, "Window", r.Window.String())
	}
	if r.At != 0 {
		field(w, "At", time.UnixMilli(r.At).UTC().Format(time.RFC3339Nano))
	}
}

// drawExchange shows what a payment in two currencies is on both sides.
func drawExchange(w io.Writer, x *tongma.Exchange) {
	if *x == (tongma.Exchange{}) {
		return
	}
	field(w, "Payer", x.Source.String()+" for "+x.Target.String())
	if x.Rate != "" {
		field(w, "Rate", x.Rate+", by "+string(x.Dealer)+", quote "+x.Quote)
	}
	if x.Expiry != 0 {
		field(w, "Until", time.UnixMilli(x.Expiry).UTC().Format(time.RFC3339Nano))
	}
}

// newSendCmd pays a payer's code (pay send) or a merchant's (transfer send).
func newSendCmd(a *app, op tongma.Operation) *cobra.Command {
	var m money
	r := tongma.Request{Op: op}
	path, short, whose, who := "/v1/payments", "Pay with a payer's code, as the shop's acquirer does", "payer's code", "acq-north"
	if op == tongma.OpTransfer {
		path, short, whose, who = "/v1/transfers", "Pay a merchant's code, as the payer's wallet does", "merchant's code", "tongbao"
	}
	cmd := &cobra.Command{
		Use:   "send",
		Short: short,
		Example: fmt.Sprintf(`  tongma %s send --code CODE --amount 12.50 --currency CNY --as %s
  tongma %[1]s send --code - --amount 12.50 --currency CNY --as %s --wait --json < code.txt`, op, who, who),
		Long: "--code - reads the code from standard input, where no other process can see it.\n\n" + answerHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.Amount, err = m.value(); err != nil {
				return err
			}
			if r.Code == "-" {
				if r.Code, err = a.codeArgument([]string{"-"}); err != nil {
					return err
				}
			}
			return m.ask(a, cmd, path, r)
		},
	}
	m.flags(cmd)
	m.amountFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.Code, "code", "", whose+", or - for standard input")
	f.StringVar(&r.Order, "order", "", "the merchant's own order number")
	f.StringVar(&r.Merchant.ID, "merchant", "", "merchant number")
	f.StringVar(&r.Merchant.Name, "merchant-name", "", "merchant's name")
	f.StringVar(&r.Merchant.Country, "country", "", "where the merchant is, ISO 3166-1")
	f.StringVar(&r.Merchant.Terminal, "till", "", "till")
	if op == tongma.OpTransfer {
		f.StringVar(&r.Quote, "quote", "", "the quote that the payer has seen, if it pays in another currency: tongma resolve shows it")
		payInFlag(cmd, &r.PayIn)
	}
	require(cmd, "code", "amount", "currency")
	return cmd
}

// payInFlag lets a wallet choose what its payer pays in.
func payInFlag(cmd *cobra.Command, to *tongma.Currency) {
	cmd.Flags().Func("pay-in", "what the payer pays in, if the wallet has several currencies: HKD", func(s string) (err error) {
		*to, err = currencyOf(s)
		return err
	})
}

func newPayGetCmd(a *app) *cobra.Command {
	var t target
	var key string
	cmd := &cobra.Command{
		Use:   "get PAYMENT",
		Short: "Say how a payment stands",
		Example: `  tongma pay get pay_01jd...
  tongma pay get --key cli-abc... --as acq-north --json`,
		Long: "Exit code 0 if the payment is there and decided, whatever became of it; 9 while it is not; 6 if there is none.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (key != "") {
				return failf(exitUsage, "give either a payment's id or --key")
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				id := ""
				if len(args) == 1 {
					id = args[0]
				} else {
					var err error
					if id, err = c.byKey(ctx, key); err != nil {
						return err
					}
				}
				return a.showPayment(ctx, c, id)
			})
		},
	}
	t.flags(cmd)
	a.completePayments(cmd, &t)
	t.asFlag(cmd, false)
	cmd.Flags().StringVar(&key, "key", "", "find it by the asker's own key; needs --as")
	return cmd
}

func (a *app) showPayment(ctx context.Context, c *client, text string) error {
	id, err := tongma.ParsePaymentID(text)
	if err != nil {
		return failf(exitUsage, "%q is no payment id: \"pay_\" and 26 characters", clean(text))
	}
	got, err := c.ask(ctx, http.MethodGet, "/v1/payments/"+id.String(), "", nil)
	if err != nil {
		return err
	}
	answer, err := readAnswer(got)
	if err != nil {
		return err
	}
	return a.showAnswer(&answer, got.body, tongma.OpInquire)
}

// byKey finds a payment's id by the key that it was asked for with.
func (c *client) byKey(ctx context.Context, key string) (string, error) {
	var list api.PaymentList
	if err := c.get(ctx, "/v1/payments?key="+url.QueryEscape(key), &list); err != nil {
		return "", err
	}
	if len(list.Payments) == 0 {
		return "", &tongma.Error{Op: "pay get", Reason: tongma.PaymentUnknown}
	}
	return list.Payments[0].Payment, nil
}

func newPayListCmd(a *app) *cobra.Command {
	var t target
	var limit int
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the latest payments, newest first",
		Example: `  tongma pay ls
  tongma pay ls --limit 5 --as acq-north
  tongma pay ls --json | jq '.payments[] | select(.status == "pending")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				var list api.PaymentList
				return a.show(ctx, c, fmt.Sprintf("/v1/payments?limit=%d", limit), &list, func(w io.Writer) { drawPayments(w, list.Payments) })
			})
		},
	}
	t.flags(cmd)
	t.asFlag(cmd, false)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most, 1 to 500")
	return cmd
}

func drawPayments(w io.Writer, list []api.PaymentView) {
	var rows [][]string
	for _, p := range list {
		in := p.Currency
		if p.Dealer != "" {
			in += " for " + p.Target + " " + p.TargetIn
		}
		rows = append(rows, []string{p.Payment, p.Operation, p.Status, p.Amount, in, p.Debtor, p.Creditor, p.Scheme, p.ReasonName, p.HeldAt})
	}
	showTable(w, []column{left("payment"), left("operation"), left("status"), right("amount"), left(""), left("payer side"), left("payee side"),
		left("scheme"), left("why"), left("asked at")}, rows)
}

func newReverseCmd(a *app) *cobra.Command {
	var m money
	var ofKey string
	cmd := &cobra.Command{
		Use:   "reverse [PAYMENT]",
		Short: "Undo a payment, whatever became of it",
		Example: `  tongma pay reverse pay_01jd... --as acq-north
  tongma pay reverse --of-key cli-abc... --as acq-north     when the payment's id was never heard`,
		Long: "By --of-key, a payment that has not arrived yet is refused when it does.\n\n" + answerHelp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (ofKey != "") {
				return failf(exitUsage, "give either a payment's id or --of-key")
			}
			r, path := tongma.Request{Op: tongma.OpReverse, OfKey: ofKey}, "/v1/reversals"
			if len(args) == 1 {
				id, err := paymentArgument(args[0])
				if err != nil {
					return err
				}
				path = "/v1/payments/" + id.String() + "/reverse"
			}
			return m.ask(a, cmd, path, r)
		},
	}
	m.flags(cmd)
	a.completePayments(cmd, &m.target)
	cmd.Flags().StringVar(&ofKey, "of-key", "", "undo what was asked for with this key")
	return cmd
}

func newRefundCmd(a *app) *cobra.Command {
	var m money
	var order string
	cmd := &cobra.Command{
		Use:     "refund PAYMENT",
		Short:   "Give back all or part of an approved payment",
		Example: `  tongma pay refund pay_01jd... --amount 2.50 --currency CNY --as acq-north`,
		Long:    "A refund is a payment of its own, the other way round. Several may be made, up to the amount of the payment.\n\n" + answerHelp,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := paymentArgument(args[0])
			if err != nil {
				return err
			}
			amount, err := m.value()
			if err != nil {
				return err
			}
			return m.ask(a, cmd, "/v1/payments/"+id.String()+"/refunds", tongma.Request{Op: tongma.OpRefund, Amount: amount, Order: order})
		},
	}
	m.flags(cmd)
	a.completePayments(cmd, &m.target)
	m.amountFlags(cmd)
	cmd.Flags().StringVar(&order, "order", "", "the merchant's own number of the refund")
	require(cmd, "amount", "currency")
	return cmd
}

func paymentArgument(text string) (tongma.PaymentID, error) {
	id, err := tongma.ParsePaymentID(text)
	if err != nil {
		return id, failf(exitUsage, "%q is no payment id: \"pay_\" and 26 characters", clean(text))
	}
	return id, nil
}

// newResolveCmd asks whose a merchant's code is.
func newResolveCmd(a *app) *cobra.Command {
	var m money
	var payIn tongma.Currency
	cmd := &cobra.Command{
		Use:   "resolve CODE",
		Short: "Ask the switch who would be paid by a merchant's code",
		Example: `  tongma resolve 0002010102111531... --as tongbao
  tongma resolve - --as tongbao --json < code.txt`,
		Long: "Nothing is reserved and no money moves. With --amount, a payer who pays in another currency is quoted what it comes to. Exit code 8 if nobody can be paid by it; stdout says why.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.codeArgument(args)
			if err != nil {
				return err
			}
			r := tongma.Request{Op: tongma.OpResolve, Code: text, PayIn: payIn}
			if m.amount != "" {
				if r.Amount, err = m.value(); err != nil {
					return err
				}
			}
			if err := r.Check(); err != nil {
				return err
			}
			return a.with(cmd, &m.target, func(ctx context.Context, c *client) error { return a.resolve(ctx, c, &r) })
		},
	}
	m.target.flags(cmd)
	m.asFlag(cmd, true)
	m.amountFlags(cmd)
	payInFlag(cmd, &payIn)
	cmd.MarkFlagsRequiredTogether("amount", "currency")
	return cmd
}

func (a *app) resolve(ctx context.Context, c *client, r *tongma.Request) error {
	got, err := c.ask(ctx, http.MethodPost, "/v1/resolve", "", r.AppendJSON(nil))
	var e *exitError
	if errors.As(err, &e) {
		e.money = "" // a question that moves none
	}
	if err != nil {
		return err
	}
	res, err := tongma.ParseResolution(got.body)
	if err != nil {
		return failf(exitFault, "the answer of %s cannot be read", c.base.Host)
	}
	a.print(raw(got.body), func(w io.Writer) { a.drawResolution(w, &res) })
	if len(res.Candidates) == 0 {
		return &exitError{code: exitChecks}
	}
	return nil
}

func (a *app) drawResolution(w io.Writer, r *tongma.Resolution) {
	p := a.paint(w)
	if len(r.Candidates) == 0 {
		fmt.Fprintln(w, p.red("✗")+" "+p.bold(r.Reason.Code()+"  "+r.Reason.Info().Title))
		field(w, "Detail", r.Detail)
		field(w, "Do", r.Reason.Info().Advice)
		return
	}
	if m := r.Merchant; m.Name != "" || m.ID != "" {
		field(w, "Shop", strings.TrimSpace(m.Name+"  "+m.City+" "+m.Country+"  "+m.ID))
	}
	if r.Amount.Currency.Valid() {
		field(w, "Amount", r.Amount.String()+", fixed by the code")
	}
	drawExchange(w, &r.Exchange)
	var rows [][]string
	for _, c := range r.Candidates {
		rows = append(rows, []string{string(c.Participant), string(c.Scheme), c.Rule, c.Path})
	}
	showTable(w, []column{left("pays"), left("scheme"), left("rule"), left("at")}, rows)
}
