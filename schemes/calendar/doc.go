// Package calendar says on which days money can be settled, and when windows are
// cut off.
//
// Holidays are data, never code: each calendar of a Set is a numbered version
// with a range of dates that it knows about. A date outside that range is an
// error, not a business day. A weekend is whatever days the calendar says. When
// a holiday is announced late, the source gets one more version of the calendar
// with the instant from which it is in force; the old version stays, so that
// cut-offs of the past are worked out as they were. A version must be given to
// the switch before it is in force.
//
// Cut-offs are local wall times in an IANA zone. Where clocks go forward over a
// cut-off it is the instant of the jump; where they go back over it, it is the
// first of the two instants, and once only. Zone rules are changed by
// governments and come from the machine's database or the one built in, so the
// instant that was computed is recorded with the window, and the record counts.
//
// All of it is pure but for Parse, which looks zones up.
//
// # The source
//
// Sandbox is a whole one. Keys marked * must be there; any other key is refused.
//
//	name: text
//	calendars:                      *
//	  - id: cny-cn                  *
//	    version: 2                  * # from 1
//	    effective_from: 2026-04-20T00:00:00+08:00  # * but for a calendar's first version
//	    zone: Asia/Shanghai         * # in which half days close
//	    valid: {from: 2026-01-01, to: 2026-12-31}  *
//	    weekend: [saturday, sunday] * # up to six days, or none
//	    holidays:                     # may fall on a weekend
//	      - {date: 2026-05-01, name: Labour Day}
//	      - {from: 2026-10-01, to: 2026-10-07, name: National Day}
//	    working_days:                 # weekends that are worked
//	      - {date: 2026-10-10, name: in exchange for 7 October}
//	    half_days:                    # may be a working_day too
//	      - {date: 2026-12-31, closes: "15:00", name: Year's end}
//	currencies: {CNY: cny-cn}       *
//	agents: {rtgs-cn: agent-cn}     *
//	schedules:
//	  - id: cny-net                 *
//	    model: multilateral         * # or bilateral, gross
//	    currency: CNY               *
//	    agent: rtgs-cn              * # cut-offs are on days good for both
//	    zone: Asia/Shanghai         *
//	    value_days: 0                 # business days from cut-off to settlement
//	    roll: following               # or modified-following, if good_in has a holiday then
//	    good_in: [usd-us]             # calendars in which the value date must be good too
//	    cycles:                     * # by time of day
//	      - {id: noon, at: "12:00"}
//	      - {id: night, at: "23:00", value_days: 1}
package calendar
