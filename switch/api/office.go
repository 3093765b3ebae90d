package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/recon"
	"github.com/tongma/tongma/switch/office"
)

// Office is what operators and parties do besides paying and settling: an *office.Office. Its methods may
// be called at once from many goroutines.
type Office interface {
	ProposeCap(context.Context, office.CapRequest) (office.Done, error)
	ApproveCap(context.Context, office.CapCheck) (office.Done, error)
	RejectCap(context.Context, office.CapCheck) (office.Done, error)
	Caps(ctx context.Context, participant tongma.ParticipantID, waiting bool) ([]office.CapView, error)
	Deposit(context.Context, office.Funds) (office.Done, error)
	Withdraw(context.Context, office.Funds) (office.Done, error)
	Suspend(context.Context, office.Standing) (office.Done, error)
	Resume(context.Context, office.Standing) (office.Done, error)
	Participants(context.Context) ([]office.ParticipantView, error)
	Reconcile(context.Context, office.Reconciliation) (office.ReconReport, error)
	Breaks(office.BreakFilter) ([]recon.Break, error)
	Resolve(context.Context, office.BreakResolution) (recon.Break, error)
	Raise(context.Context, office.DisputeRequest) (office.DisputeDone, error)
	Step(context.Context, office.DisputeStep) (office.DisputeDone, error)
	ShowDispute(ctx context.Context, id tongma.PaymentID, who tongma.ParticipantID) (office.DisputeView, error)
	Disputes(context.Context, office.DisputeFilter) ([]office.DisputeView, error)
	ExplainPosition(ctx context.Context, who tongma.ParticipantID, c tongma.Currency, limit int) (office.PositionView, error)
}

// CapBody is the body of POST /v1/caps/proposals.
type CapBody struct {
	Key         string               `json:"key,omitempty" maxLength:"64" doc:"the same as the header, or instead of it"`
	Participant tongma.ParticipantID `json:"participant"`
	Cap         tongma.Money         `json:"cap"`
}

// FundsBody is the body of POST /v1/participants/{id}/deposits and withdrawals.
type FundsBody struct {
	Key    string       `json:"key,omitempty" maxLength:"64" doc:"the same as the header, or instead of it"`
	Amount tongma.Money `json:"amount"`
	Ref    string       `json:"ref,omitempty" maxLength:"64" doc:"of the settlement agent"`
}

// WhyBody is the body of POST /v1/participants/{id}/suspend and resume.
type WhyBody struct {
	Why string `json:"why" maxLength:"64" doc:"one line, for the journal and the participant"`
}

// ResolveBody is the body of POST /v1/recon/breaks/{id}/resolve.
type ResolveBody struct {
	How   string `json:"how" enum:"corrected,explained,written-off"`
	Entry uint64 `json:"entry,omitempty" doc:"corrected: the journal entry that put it right"`
	Note  string `json:"note" maxLength:"400" doc:"one line"`
}

// CapList is the answer to GET /v1/caps/proposals.
type CapList struct {
	Proposals []office.CapView `json:"proposals" doc:"latest first"`
}

// ParticipantList is the answer to GET /v1/participants.
type ParticipantList struct {
	Participants []office.ParticipantView `json:"participants"`
}

// office is what the operations of this file stand on.
func (c *call) office() (Office, error) {
	if c.cfg.Office == nil {
		return nil, &tongma.Error{Op: "http", Reason: tongma.OperationUnknown, Detail: "this switch has no office"}
	}
	return c.cfg.Office, nil
}

// two refuses what takes two people where only one is known: alone, nobody could
// ever finish it. Nor does the token count that names nobody: one person may hold it
// beside its own, and would be two. With play money that is no matter.
func (c *call) two() error {
	if c.cfg.Auth.Operators() > 1 {
		if c.person != operatorToken || c.cfg.Sandbox {
			return nil
		}
		return &tongma.Error{Op: "http", Reason: tongma.NotPermittedHere,
			Detail: "it takes two people, and the operator's own token says of nobody who it is: use creds/operator.NAME.token"}
	}
	return &tongma.Error{Op: "http", Reason: tongma.NotPermittedHere,
		Detail: "it takes two people, and this installation knows one: give each a token of its own, creds/operator.NAME.token, by tongma operator add NAME"}
}

// within bounds an operation that writes. One whose client hangs up goes on: it
// would only leave a doubt behind.
func (c *call) within(d time.Duration) (context.Context, context.CancelFunc) {
	c.patience(d)
	return context.WithTimeout(context.WithoutCancel(c.r.Context()), d)
}

// dryRun reads ?dry_run=.
func (c *call) dryRun() (bool, error) {
	switch c.r.URL.Query().Get("dry_run") {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?dry_run", Detail: "true or false"}
}

// read takes a JSON object from the body. A member that is not known is refused: a
// misspelt one must not pass as none.
func readBody[T any](c *call, emptyAllowed bool) (v T, err error) {
	data, err := c.body(emptyAllowed)
	if err != nil || data == nil {
		return v, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err = d.Decode(&v); err == nil && len(bytes.TrimSpace(data[d.InputOffset():])) > 0 {
		err = errors.New("something follows the value")
	}
	if err == nil {
		return v, nil
	}
	fault := &tongma.Error{Op: "http", Reason: tongma.MessageMalformed, Offset: int(d.InputOffset())}
	var own *tongma.Error
	var kind *json.UnmarshalTypeError
	name, unknown := strings.CutPrefix(err.Error(), "json: unknown field ")
	switch {
	case errors.As(err, &own):
		return v, own
	case errors.As(err, &kind):
		fault.Reason, fault.Field, fault.Offset = tongma.FieldInvalid, "/"+strings.ReplaceAll(kind.Field, ".", "/"), int(kind.Offset)
	case unknown:
		fault.Reason, fault.Field = tongma.FieldUnknown, "/"+strings.Trim(name, `"`)
	}
	return v, fault
}

// change runs one operation of the office and sends what it has done.
func change[B any](c *call, emptyAllowed bool, do func(ctx context.Context, o Office, body B, dry bool) (any, error)) error {
	o, err := c.office()
	if err != nil {
		return err
	}
	dry, err := c.dryRun()
	if err != nil {
		return err
	}
	body, err := readBody[B](c, emptyAllowed)
	if err != nil {
		return err
	}
	ctx, cancel := c.within(changeWithin)
	defer cancel()
	v, err := do(ctx, o, body, dry)
	if err != nil {
		return about(err, c.r.PathValue("id"))
	}
	return c.send(v)
}

// about gives an error the name of what was asked for, if it has no place yet.
func about(err error, name string) error {
	var e *tongma.Error
	if name == "" || !errors.As(err, &e) || e.Field != "" {
		return err
	}
	named := *e
	named.Field = name
	return &named
}

func (c *call) proposeCap() error {
	return change(c, false, func(ctx context.Context, o Office, b CapBody, dry bool) (any, error) {
		key, err := c.key(b.Key, false)
		if err == nil && key == "" {
			err = &tongma.Error{Op: "http.propose-cap", Reason: tongma.KeyMissing, Field: tongma.HeaderKey}
		}
		if err == nil {
			err = c.two()
		}
		if err != nil {
			return nil, err
		}
		return o.ProposeCap(ctx, office.CapRequest{Key: key, Participant: b.Participant, Cap: b.Cap, By: c.person, DryRun: dry})
	})
}

func (c *call) approveCap() error { return c.checkCap(Office.ApproveCap) }
func (c *call) rejectCap() error  { return c.checkCap(Office.RejectCap) }

func (c *call) checkCap(check func(Office, context.Context, office.CapCheck) (office.Done, error)) error {
	return change(c, true, func(ctx context.Context, o Office, _ struct{}, dry bool) (any, error) {
		if err := c.two(); err != nil {
			return nil, err
		}
		return check(o, ctx, office.CapCheck{Key: c.r.PathValue("id"), By: c.person, DryRun: dry})
	})
}

func (c *call) caps() error {
	o, err := c.office()
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	if w := q.Get("waiting"); w != "" && w != "true" && w != "false" {
		return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?waiting", Detail: "true or false"}
	}
	ctx, cancel := c.within(changeWithin)
	defer cancel()
	who := tongma.ParticipantID(q.Get("participant"))
	list, err := o.Caps(ctx, who, q.Get("waiting") == "true")
	if err == nil {
		err = c.heardOf(who, len(list))
	}
	if err != nil {
		return unread(err)
	}
	return c.send(CapList{Proposals: append([]office.CapView{}, list...)})
}

// heardOf refuses a list of nothing for a participant that the directory does not have: a
// misspelt name must not pass for one of whom there is nothing. Who has left may still be
// in the books.
func (c *call) heardOf(who tongma.ParticipantID, found int) error {
	if who == "" || found > 0 {
		return nil
	}
	if _, ok := c.cfg.Engine.Directory().Participant(who); !ok {
		return &tongma.Error{Op: "http", Reason: tongma.ParticipantUnknown, Field: "?participant"}
	}
	return nil
}

func (c *call) participants() error {
	o, err := c.office()
	if err != nil {
		return err
	}
	ctx, cancel := c.within(changeWithin)
	defer cancel()
	list, err := o.Participants(ctx)
	if err != nil {
		return unread(err)
	}
	return c.send(ParticipantList{Participants: append([]office.ParticipantView{}, list...)})
}

func (c *call) suspend() error { return c.stand(Office.Suspend) }
func (c *call) resume() error  { return c.stand(Office.Resume) }

func (c *call) stand(do func(Office, context.Context, office.Standing) (office.Done, error)) error {
	return change(c, false, func(ctx context.Context, o Office, b WhyBody, dry bool) (any, error) {
		return do(o, ctx, office.Standing{Participant: tongma.ParticipantID(c.r.PathValue("id")), By: c.person, Why: b.Why, DryRun: dry})
	})
}

func (c *call) deposit() error  { return c.fund(Office.Deposit) }
func (c *call) withdraw() error { return c.fund(Office.Withdraw) }

func (c *call) fund(do func(Office, context.Context, office.Funds) (office.Done, error)) error {
	return change(c, false, func(ctx context.Context, o Office, b FundsBody, dry bool) (any, error) {
		key, err := c.key(b.Key, false)
		if err == nil && key == "" {
			err = &tongma.Error{Op: "http.prefunding", Reason: tongma.KeyMissing, Field: tongma.HeaderKey}
		}
		if err != nil {
			return nil, err
		}
		done, err := do(o, ctx, office.Funds{Key: key, Participant: tongma.ParticipantID(c.r.PathValue("id")), Amount: b.Amount, Ref: b.Ref, DryRun: dry})
		if tongma.ReasonOf(err) == tongma.AmountInvalid && b.Amount.Minor > 0 {
			err = &tongma.Error{Op: "http.prefunding", Reason: tongma.AmountInvalid, Field: "/amount", Detail: "it is more than the prefunding that is there"}
		}
		return done, err
	})
}

func (c *call) resolveBreak() error {
	return change(c, false, func(ctx context.Context, o Office, b ResolveBody, dry bool) (any, error) {
		return o.Resolve(ctx, office.BreakResolution{Break: c.r.PathValue("id"), How: b.How, Entry: b.Entry, By: c.person, Note: b.Note, DryRun: dry})
	})
}

// wholeNumber reads a number of the query; zero if it is not given.
func (c *call) wholeNumber(name string, most int64) (int64, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?" + name, Detail: "want a whole number up to " + strconv.FormatInt(most, 10)}
	}
	return n, nil
}

// wants tells whether the caller asked for a form of an answer, by ?format= or by
// Accept. The first form is the standard one.
func (c *call) wants(forms ...string) (string, error) {
	if f := c.r.URL.Query().Get("format"); f != "" {
		for _, form := range forms {
			if f == form {
				return form, nil
			}
		}
		return "", &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?format", Detail: strings.Join(forms, ", ")}
	}
	accept := c.r.Header.Get("Accept")
	for _, form := range forms[1:] {
		if strings.Contains(accept, mediaTypes[form]) {
			return form, nil
		}
	}
	return forms[0], nil
}

// mediaTypes of the forms of answers.
var mediaTypes = map[string]string{"json": jsonType, "csv": "text/csv", "pacs009": "application/vnd.iso20022.pacs.009+xml", "pacs029": "application/vnd.iso20022.pacs.029+xml", "zip": "application/zip"}

const xmlType = "application/xml"

// attach sends a file.
func (c *call) attach(kind, name string, body []byte) error {
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return c.raw(http.StatusOK, kind, body)
}
