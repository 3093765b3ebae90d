package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tongma/tongma"
)

// call is one HTTP request, right or wrong.
type call struct {
	who    string // whose token; "" sends none
	method string
	path   string
	key    string // Idempotency-Key; "" sends none
	body   string
	header map[string]string // besides, or instead of, what goes without saying
	twice  bool              // the key header stands there twice
}

// heard is what came back.
type heard struct {
	status int
	kind   string // content type
	body   []byte
}

// http sends one request and reads the whole answer, of 1 MiB at most.
func (t *Target) http(ctx context.Context, c call) (heard, error) {
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	r, err := http.NewRequestWithContext(ctx, c.method, t.HTTP+c.path, body)
	if err != nil {
		return heard{}, err
	}
	if token := t.tokens[c.who]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if c.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		r.Header.Set(tongma.HeaderKey, c.key)
	}
	if c.twice {
		r.Header.Add(tongma.HeaderKey, c.key+"-2")
	}
	for name, value := range c.header {
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	a, err := t.client.Do(r)
	if err != nil {
		return heard{}, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err == nil {
		err = t.repeats(text)
	}
	return heard{a.StatusCode, a.Header.Get("Content-Type"), text}, err
}

// told is an answer about a payment, as the document of the HTTP door has it.
type told struct {
	Payment    string `json:"payment"`
	Outcome    string `json:"outcome"`
	Status     string `json:"status"`
	Reason     string `json:"reason"`
	ReasonName string `json:"reason_name"`
	Money      string `json:"money"`
}

// answer reads an answer about a payment.
func (h heard) answer() (told, error) {
	var a told
	if !strings.HasPrefix(h.kind, "application/json") {
		return a, fmt.Errorf("status %d comes as %q: %s", h.status, h.kind, clip(h.body))
	}
	if err := json.Unmarshal(h.body, &a); err != nil {
		return a, fmt.Errorf("the answer is not JSON: %w", err)
	}
	return a, nil
}

// observe reads what was answered, be it a problem or a payment, and insists that
// its parts agree with each other and with the catalogue.
func (h heard) observe() (Observation, error) {
	if strings.HasPrefix(h.kind, "application/problem+json") {
		return observeProblem(h.body, h.status)
	}
	a, err := h.answer()
	if err != nil {
		return Observation{HTTP: h.status}, err
	}
	o, err := a.observe()
	o.HTTP = h.status
	return o, err
}

func (a told) observe() (Observation, error) {
	if a.Outcome == "approved" {
		return Observation{Money: "executed"}, errors.New("it was approved")
	}
	if a.Reason == "" {
		return Observation{}, fmt.Errorf("neither approved nor refused for a reason: outcome %q, status %q", a.Outcome, a.Status)
	}
	r, ok := tongma.ParseReason(a.Reason)
	o := Observation{Reason: r, Money: a.Money}
	switch {
	case !ok:
		return o, fmt.Errorf("the reason %q is not in the catalogue", a.Reason)
	case a.ReasonName != r.String():
		return o, fmt.Errorf("%s is called %q", a.Reason, a.ReasonName)
	case a.Money == "not_executed" && a.Status != "declined" && a.Status != "reversed":
		return o, fmt.Errorf("no money moved, yet the status is %q", a.Status)
	}
	return o, nil
}

// observeProblem reads an RFC 9457 document. status is zero if the door has none.
func observeProblem(body []byte, status int) (Observation, error) {
	var p struct {
		Type, Title, Code, Reason, Outcome, Act, Retry string
		Status                                         int
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return Observation{HTTP: status}, fmt.Errorf("the problem is not JSON: %w", err)
	}
	r, ok := tongma.ParseReason(p.Code)
	o := Observation{Reason: r, Money: p.Outcome, HTTP: status}
	switch {
	case !ok:
		return o, fmt.Errorf("the code %q is not in the catalogue", p.Code)
	case p.Type != "urn:tongma:error:"+p.Code || p.Reason != r.String() || p.Title == "" || p.Act == "" || p.Retry == "":
		return o, fmt.Errorf("the problem document of %s does not agree with itself", p.Code)
	case status != 0 && p.Status != status:
		return o, fmt.Errorf("the document says status %d, the door %d", p.Status, status)
	}
	return o, nil
}

func clip(b []byte) string { return string(b[:min(len(b), 120)]) }
