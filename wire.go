package tongma

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// The JSON of requests and answers, as it travels over NATS and HTTP. It is
// written and read by hand, since four such messages pass for every payment and
// encoding/json takes longer over one than the journal over an entry. The shapes
// are those of schema/request.json and schema/answer.json.

// AppendJSON appends the request as a JSON object. Op and From are not in it:
// the subject or the path says them.
func (r *Request) AppendJSON(b []byte) []byte {
	w := objectWriter{b: append(b, '{')}
	w.text("key", r.Key)
	w.id("payment", r.Payment)
	w.id("original", r.Original)
	w.text("of_key", r.OfKey)
	w.text("scheme", string(r.Scheme))
	w.text("acquirer", string(r.Acquirer))
	w.text("issuer", string(r.Issuer))
	w.text("code", r.Code)
	w.money("amount", r.Amount)
	if r.Merchant != (Merchant{}) {
		w.name("merchant")
		w.b = r.Merchant.appendJSON(w.b)
	}
	w.text("order", r.Order)
	w.currency("pay_in", r.PayIn)
	w.text("quote", r.Quote)
	w.exchange("exchange", r.Exchange)
	w.reason("reason", r.Reason)
	w.integer("budget_ms", r.Budget.Milliseconds())
	w.integer("attempt", int64(r.Attempt))
	return append(w.b, '}')
}

// MarshalJSON returns the object of AppendJSON.
func (r *Request) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

func (m *Merchant) appendJSON(b []byte) []byte {
	w := objectWriter{b: append(b, '{')}
	w.text("id", m.ID)
	w.text("name", m.Name)
	w.text("city", m.City)
	w.text("country", m.Country)
	w.text("mcc", m.MCC)
	w.text("terminal", m.Terminal)
	return append(w.b, '}')
}

// ParseRequest reads the object of AppendJSON. A field that it does not know, a
// field given twice, anything behind the object, or more than MaxMessage bytes
// is refused, with the path and the byte offset.
func ParseRequest(data []byte) (Request, error) {
	var r Request
	s := objectReader{b: data, op: "request"}
	s.object("", func(name string) {
		switch name {
		case "key":
			r.Key = s.text()
		case "payment":
			r.Payment = s.id()
		case "original":
			r.Original = s.id()
		case "of_key":
			r.OfKey = s.text()
		case "scheme":
			r.Scheme = SchemeID(s.text())
		case "acquirer":
			r.Acquirer = ParticipantID(s.text())
		case "issuer":
			r.Issuer = ParticipantID(s.text())
		case "code":
			r.Code = s.text()
		case "amount":
			r.Amount = s.money()
		case "merchant":
			r.Merchant = s.merchant()
		case "order":
			r.Order = s.text()
		case "pay_in":
			r.PayIn = s.currency()
		case "quote":
			r.Quote = s.text()
		case "exchange":
			r.Exchange = s.exchange(true)
		case "reason":
			r.Reason = s.reason()
		case "budget_ms":
			r.Budget = time.Duration(s.integer(0, 600_000)) * time.Millisecond
		case "attempt":
			r.Attempt = int(s.integer(0, 1<<20))
		default:
			s.fail(FieldUnknown, "")
		}
	})
	if err := s.end(); err != nil {
		return Request{}, err
	}
	return r, r.Check()
}

// UnmarshalJSON reads the object of AppendJSON, as ParseRequest does.
func (r *Request) UnmarshalJSON(data []byte) error {
	got, err := ParseRequest(data)
	got.Op, got.From = r.Op, r.From
	*r = got
	return err
}

// AppendJSON appends the answer as a JSON object. Outcome and status are always
// in it; a reason comes with its code, slug and title.
func (a *Answer) AppendJSON(b []byte) []byte {
	w := objectWriter{b: append(b, '{')}
	w.id("payment", a.Payment)
	w.id("original", a.Original)
	w.text("outcome", a.Outcome.String())
	w.text("status", a.Status.String())
	if a.Reason != NoReason {
		info := a.Reason.Info()
		w.reason("reason", a.Reason)
		w.text("reason_name", info.Slug)
		w.text("title", info.Title)
		w.text("money", a.moved().String())
	}
	w.text("scheme", string(a.Scheme))
	w.text("issuer", string(a.Issuer))
	w.text("acquirer", string(a.Acquirer))
	w.money("amount", a.Amount)
	w.exchange("exchange", a.Exchange)
	w.text("scheme_ref", a.SchemeRef)
	w.text("approval", a.Approval)
	w.instant("at", a.At)
	if a.Window != 0 {
		w.text("window", a.Window.String())
	}
	w.integer("entry", int64(a.Entry))
	w.integer("after_ms", a.After.Milliseconds())
	w.text("detail", a.Detail)
	return append(w.b, '}')
}

// moved says what happened to the money: what the outcome says first, since a
// repeated reversal of an approved payment moves nothing yet is no refusal.
func (a *Answer) moved() MoneyMoved {
	switch {
	case a.Outcome == Approved && a.Status == Paid:
		return Moved
	case a.Outcome == Unknown && a.Status == Pending:
		return a.Reason.Info().Money
	}
	return NotMoved
}

// MarshalJSON returns the object of AppendJSON.
func (a *Answer) MarshalJSON() ([]byte, error) { return a.AppendJSON(nil), nil }

// ParseAnswer reads an answer. Unlike ParseRequest it passes over fields that it
// does not know: a newer scheme may say more. An outcome that is missing or not
// one of the three is an error, so that it is taken as not known.
func ParseAnswer(data []byte) (Answer, error) {
	var a Answer
	heard := false
	s := objectReader{b: data, op: "answer"}
	s.object("", func(name string) {
		switch name {
		case "payment":
			a.Payment = s.id()
		case "original":
			a.Original = s.id()
		case "outcome":
			var ok bool
			if a.Outcome, ok = ParseOutcome(s.text()); !ok {
				s.fail(FieldInvalid, "approved, declined or unknown")
			}
			heard = true
		case "status":
			var ok bool
			if a.Status, ok = ParseStatus(s.text()); !ok {
				s.fail(FieldInvalid, "pending, approved, declined or reversed")
			}
		case "reason":
			a.Reason = s.reason()
		case "scheme":
			a.Scheme = SchemeID(s.text())
		case "issuer":
			a.Issuer = ParticipantID(s.text())
		case "acquirer":
			a.Acquirer = ParticipantID(s.text())
		case "amount":
			a.Amount = s.money()
		case "exchange":
			a.Exchange = s.exchange(false)
		case "scheme_ref":
			a.SchemeRef = s.bounded(64)
		case "approval":
			a.Approval = s.bounded(6)
		case "at":
			a.At = s.instant()
		case "window":
			a.Window = s.window()
		case "entry":
			a.Entry = uint64(s.integer(0, 1<<62))
		case "after_ms":
			a.After = time.Duration(s.integer(0, 1<<40)) * time.Millisecond
		case "detail":
			a.Detail = s.bounded(512)
		default:
			s.skip(0)
		}
	})
	if err := s.end(); err != nil {
		return Answer{}, err
	}
	if !heard {
		return Answer{}, &Error{Op: "answer", Reason: FieldMissing, Field: "/outcome"}
	}
	return a, nil
}

// UnmarshalJSON reads an answer, as ParseAnswer does.
func (a *Answer) UnmarshalJSON(data []byte) (err error) {
	*a, err = ParseAnswer(data)
	return err
}

// MarshalJSON writes {"minor":1250,"currency":"CNY"}.
func (m Money) MarshalJSON() ([]byte, error) { return m.appendJSON(nil), nil }

func (m Money) appendJSON(b []byte) []byte {
	b = append(b, `{"minor":`...)
	b = strconv.AppendInt(b, m.Minor, 10)
	b = append(b, `,"currency":"`...)
	b = append(b, m.Currency.Code()...)
	return append(b, `"}`...)
}

// UnmarshalJSON reads the object of MarshalJSON.
func (m *Money) UnmarshalJSON(data []byte) error {
	s := objectReader{b: data, op: "money"}
	*m = s.money()
	return s.end()
}

// MarshalJSON writes the object that stands in requests and answers.
func (x Exchange) MarshalJSON() ([]byte, error) { return x.AppendJSON(nil), nil }

// AppendJSON appends the object of MarshalJSON.
func (x *Exchange) AppendJSON(b []byte) []byte {
	w := objectWriter{b: append(b, '{')}
	w.text("dealer", string(x.Dealer))
	w.text("quote", x.Quote)
	w.text("rate", x.Rate)
	w.money("source", x.Source)
	w.money("target", x.Target)
	w.instant("expires", x.Expiry)
	return append(w.b, '}')
}

// UnmarshalJSON reads the object of MarshalJSON, and passes over members that it
// does not know.
func (x *Exchange) UnmarshalJSON(data []byte) error {
	s := objectReader{b: data, op: "exchange"}
	*x = s.exchange(false)
	return s.end()
}

// objectWriter appends the members of one object, leaving out empty ones.
type objectWriter struct {
	b    []byte
	some bool
}

func (w *objectWriter) name(name string) {
	if w.some {
		w.b = append(w.b, ',')
	}
	w.some = true
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *objectWriter) text(name, value string) {
	if value != "" {
		w.name(name)
		w.b = appendText(w.b, value)
	}
}

func (w *objectWriter) id(name string, id PaymentID) {
	if !id.IsZero() {
		w.name(name)
		w.b = append(w.b, '"')
		w.b, _ = id.AppendText(w.b)
		w.b = append(w.b, '"')
	}
}

func (w *objectWriter) money(name string, m Money) {
	if m != (Money{}) {
		w.name(name)
		w.b = m.appendJSON(w.b)
	}
}

func (w *objectWriter) currency(name string, c Currency) {
	if c != 0 {
		w.text(name, c.Code())
	}
}

func (w *objectWriter) exchange(name string, x Exchange) {
	if x != (Exchange{}) {
		w.name(name)
		w.b = x.AppendJSON(w.b)
	}
}

func (w *objectWriter) instant(name string, millis int64) {
	if millis != 0 {
		w.name(name)
		w.b = append(w.b, '"')
		w.b = time.UnixMilli(millis).UTC().AppendFormat(w.b, "2006-01-02T15:04:05.000Z07:00")
		w.b = append(w.b, '"')
	}
}

func (w *objectWriter) reason(name string, r Reason) {
	if r != NoReason {
		w.name(name)
		w.b = append(w.b, '"')
		w.b = append(w.b, r.Code()...)
		w.b = append(w.b, '"')
	}
}

func (w *objectWriter) integer(name string, n int64) {
	if n != 0 {
		w.name(name)
		w.b = strconv.AppendInt(w.b, n, 10)
	}
}

// appendText appends a JSON string. Plain ASCII goes as it is; anything else is
// left to encoding/json, which also replaces what is not UTF-8.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(s)
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
