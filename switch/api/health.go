package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tongma/tongma"
)

// Check is one thing that the switch's readiness rests on. The zero Check has
// failed.
type Check struct {
	Name     string
	OK       bool
	Optional bool   // its failure leaves the switch degraded, not unready
	Detail   string // one clause, shown to anybody who asks
}

// Health is the answer to /readyz, and the text of its verbose form.
type Health struct {
	Status string        `json:"status" enum:"ok,degraded,failed"`
	Checks []HealthCheck `json:"checks"`
}

// HealthCheck is one line of a Health.
type HealthCheck struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Optional bool   `json:"optional,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// livez says that the process answers.
func (c *call) livez() error {
	return c.raw(http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
}

// readyz says whether payments may be sent here: 200 if so, even if degraded, or
// 503. The plain form is one word; ?verbose lists the checks, and with an Accept
// of application/json they come as JSON.
func (c *call) readyz() error {
	checks := append([]Check{c.ledgerCheck()}, c.furtherChecks()...)
	health := Health{Status: "ok", Checks: []HealthCheck{}}
	for _, check := range checks {
		health.Checks = append(health.Checks, HealthCheck(check))
		switch {
		case check.OK:
		case !check.Optional:
			health.Status = "failed"
		case health.Status == "ok":
			health.Status = "degraded"
		}
	}
	status := http.StatusOK
	if health.Status == "failed" {
		status = http.StatusServiceUnavailable
		c.w.Header().Set("Retry-After", retrySoon)
	}
	if strings.Contains(c.r.Header.Get("Accept"), jsonType) {
		return c.sendAs(status, health)
	}
	var text strings.Builder
	if c.r.URL.Query().Has("verbose") {
		for _, check := range checks {
			fmt.Fprintln(&text, check.line())
		}
	}
	fmt.Fprintln(&text, health.Status)
	return c.raw(status, "text/plain; charset=utf-8", []byte(text.String()))
}

func (k Check) line() string {
	mark := "[+]"
	if !k.OK {
		mark = "[-]"
	}
	s := mark + k.Name
	if !k.OK && k.Optional {
		s += " (optional)"
	}
	if k.Detail != "" {
		s += ": " + k.Detail
	}
	return s
}

func (c *call) furtherChecks() []Check {
	if c.cfg.Ready == nil {
		return nil
	}
	return c.cfg.Ready()
}

func (c *call) ledgerCheck() Check {
	if err := c.cfg.Engine.Ledger().Err(); err != nil {
		return Check{Name: "ledger", Detail: tongma.ReasonOf(err).String()}
	}
	return Check{Name: "ledger", OK: true}
}

// scrape serves the figures for Prometheus.
func (c *call) scrape() error {
	c.metrics.ServeHTTP(c.w, c.r)
	return nil
}
