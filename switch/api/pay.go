package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// headerBudget carries an asker's patience in milliseconds, as budget_ms does in
// the body.
const headerBudget = "Tm-Budget-Ms"

// fields says which members of the canonical request an operation takes. The
// others are refused: an issuer that is named and then ignored would mislead.
type fields struct {
	key, code, original, ofKey, reason, purchase bool // purchase: amount, merchant and order
}

// refusedField returns the path of the first member that is not taken, or "".
func (f fields) refusedField(r *tongma.Request) string {
	for _, m := range [...]struct {
		path    string
		present bool
	}{
		{"/payment", !r.Payment.IsZero()}, {"/scheme", r.Scheme != ""}, {"/acquirer", r.Acquirer != ""}, {"/issuer", r.Issuer != ""},
		{"/attempt", r.Attempt != 0}, {"/key", !f.key && r.Key != ""}, {"/code", !f.code && r.Code != ""},
		{"/original", !f.original && !r.Original.IsZero()}, {"/of_key", !f.ofKey && r.OfKey != ""},
		{"/reason", !f.reason && r.Reason != tongma.NoReason}, {"/amount", !f.purchase && r.Amount != tongma.Money{}},
		{"/merchant", !f.purchase && r.Merchant != tongma.Merchant{}}, {"/order", !f.purchase && r.Order != ""},
	} {
		if m.present {
			return m.path
		}
	}
	return ""
}

func (c *call) pay() error {
	return c.money(tongma.OpPay, fields{key: true, code: true, purchase: true}, true)
}

func (c *call) transfer() error {
	return c.money(tongma.OpTransfer, fields{key: true, code: true, purchase: true}, true)
}

func (c *call) refund() error {
	return c.money(tongma.OpRefund, fields{key: true, original: true, purchase: true}, true)
}

func (c *call) reverse() error {
	return c.money(tongma.OpReverse, fields{key: true, original: true, reason: true}, false)
}

// reverseByKey undoes a payment by the asker's own key: for a till that never
// heard the id, perhaps because the payment never arrived.
func (c *call) reverseByKey() error {
	return c.money(tongma.OpReverse, fields{key: true, original: true, ofKey: true, reason: true}, false)
}

// money is the one path of every question that may move money: read, ask the
// Engine, answer with what the books say.
func (c *call) money(op tongma.Operation, takes fields, keyed bool) error {
	r, err := c.request(op, takes)
	if err != nil {
		return err
	}
	if r.Key, err = c.key(r.Key, keyed); err != nil {
		return err
	}
	if c.flying.Add(1) > int64(c.cfg.MaxInFlight) {
		c.flying.Add(-1)
		return &tongma.Error{Op: "http." + op.String(), Reason: tongma.Overloaded}
	}
	defer c.flying.Add(-1)
	c.patience(longest(r.Budget))
	// A client that hangs up does not cut the question to the scheme short: that
	// would only leave a doubt behind. The budget bounds it.
	a, err := c.cfg.Engine.Do(context.WithoutCancel(c.r.Context()), r)
	if err != nil {
		if a, err = undecided(&r, err); err != nil {
			return err
		}
	}
	return c.answer(&a)
}

func longest(budget time.Duration) time.Duration {
	if budget <= 0 {
		return maxBudget
	}
	return budget
}

// undecided turns an error after which the answer is still to come into that
// answer: pending. Any other error stays one.
func undecided(r *tongma.Request, err error) (tongma.Answer, error) {
	info := tongma.ReasonOf(err).Info()
	if info.HTTP != http.StatusAccepted {
		return tongma.Answer{}, err
	}
	return tongma.Answer{Original: r.Original, Outcome: tongma.Unknown, Status: tongma.Pending, Reason: info.Reason, Amount: r.Amount, After: 2 * time.Second}, nil
}

// answer sends the canonical bytes: 202 while it is pending, 200 once decided.
func (c *call) answer(a *tongma.Answer) error {
	status := http.StatusOK
	h := c.w.Header()
	if a.Status == tongma.Pending {
		status = http.StatusAccepted
		if !a.Payment.IsZero() {
			h.Set("Location", "/v1/payments/"+a.Payment.String())
		}
	}
	if a.After > 0 {
		h.Set("Retry-After", strconv.Itoa(int((a.After+time.Second-1)/time.Second)))
	}
	if a.Replayed {
		h.Set(tongma.HeaderReplay, "true")
	}
	return c.raw(status, jsonType, a.AppendJSON(nil))
}

// request reads the body and adds who asks, for what and of which payment.
func (c *call) request(op tongma.Operation, takes fields) (tongma.Request, error) {
	data, err := c.body(op == tongma.OpReverse)
	if err != nil {
		return tongma.Request{}, err
	}
	var r tongma.Request
	if data != nil {
		if r, err = tongma.ParseRequest(data); err != nil {
			return r, err
		}
	}
	if path := takes.refusedField(&r); path != "" {
		return r, &tongma.Error{Op: "http." + op.String(), Reason: tongma.FieldInvalid, Field: path, Detail: "this operation does not take it"}
	}
	r.Op, r.From = op, c.who
	if err := c.named(&r); err != nil {
		return r, err
	}
	return r, c.budget(&r)
}

// named takes the payment from the path, if the path has one. The body may name
// the same, and no other.
func (c *call) named(r *tongma.Request) error {
	text := c.r.PathValue("id")
	if text == "" {
		if r.Op == tongma.OpReverse && r.Original.IsZero() == (r.OfKey == "") {
			return &tongma.Error{Op: "http.reverse", Reason: tongma.FieldMissing, Field: "/of_key", Detail: "want one of original and of_key"}
		}
		return nil
	}
	id, err := tongma.ParsePaymentID(text)
	if err != nil {
		return &tongma.Error{Op: "http", Reason: tongma.PaymentUnknown, Detail: "not a payment id"}
	}
	if !r.Original.IsZero() && r.Original != id {
		return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "/original", Detail: "differs from the path"}
	}
	r.Original = id
	return nil
}

// budget takes the asker's patience from the header too; the shorter one counts.
func (c *call) budget(r *tongma.Request) error {
	text := c.r.Header.Get(headerBudget)
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	d := time.Duration(n) * time.Millisecond
	if err != nil || d <= 0 || d > maxBudget {
		return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: headerBudget, Detail: "1 to 600000"}
	}
	if r.Budget == 0 || d < r.Budget {
		r.Budget = d
	}
	return nil
}

// key takes the idempotency key from its header. It may come in quotes, as a
// structured field has it, and may stand in the body too if it is the same.
func (c *call) key(inBody string, required bool) (string, error) {
	values := c.r.Header.Values(tongma.HeaderKey)
	if len(values) > 1 {
		return "", &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: tongma.HeaderKey, Detail: "given twice"}
	}
	key := ""
	if len(values) == 1 {
		key = unquoted(values[0])
	}
	switch {
	case key == "" && required:
		return "", &tongma.Error{Op: "http", Reason: tongma.KeyMissing, Field: tongma.HeaderKey}
	case key == "":
		return inBody, nil
	case inBody != "" && inBody != key:
		return "", &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "/key", Detail: "differs from the header " + tongma.HeaderKey}
	}
	return key, nil
}

func unquoted(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' && !strings.ContainsAny(s[1:len(s)-1], `"\`) {
		return s[1 : len(s)-1]
	}
	return s
}

// resolve says who would be paid by a merchant's code.
func (c *call) resolve() error {
	r, err := c.request(tongma.OpResolve, fields{key: true, code: true, purchase: true})
	if err != nil {
		return err
	}
	res, err := c.cfg.Engine.Resolve(c.r.Context(), r)
	if err != nil {
		return err
	}
	return c.raw(http.StatusOK, jsonType, res.AppendJSON(nil))
}

// payment shows how a payment stands, to its parties and to the operator.
func (c *call) payment() error {
	r := tongma.Request{Op: tongma.OpInquire, From: c.who, Budget: readWithin}
	if err := c.named(&r); err != nil {
		return err
	}
	if c.operator {
		if err := c.asAsker(&r); err != nil {
			return err
		}
	}
	a, err := c.cfg.Engine.Do(c.r.Context(), r)
	if err != nil {
		return unread(err)
	}
	return c.raw(http.StatusOK, jsonType, a.AppendJSON(nil))
}
