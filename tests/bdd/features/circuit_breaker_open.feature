@QUA-1 @CON-5 @CON-6
Feature: An open circuit breaker
  After five failed attempts in a row the gateway is left alone for thirty seconds. Whoever asks meanwhile is told at once.

  Scenario: Five failures in a row open the breaker, and the next caller is refused at once
    Given a gateway that refuses every connection
    When the process connects within 20 seconds
    And the process connects again
    Then connecting fails with CircuitBreakerOpenError, IB_CONN_008
    And the error is worth trying again
    And that took no time at all
    And exactly 5 attempts were logged
    And the breaker went from closed to open, logged as an error

  Scenario: While it rests nobody knocks, then one attempt is made, and it opens again
    Given a gateway that refuses every connection
    When the process connects within 20 seconds
    And 40 seconds pass
    Then no attempt was made within 30 seconds after the breaker opened
    And exactly 6 attempts were logged
    And the breaker went from closed to open to half_open to open, logged as an error
    And the connection is not CONNECTED

  Scenario: The gateway is back, and the breaker closes after the second success
    Given a gateway that refuses every connection
    When the process connects within 20 seconds
    And the gateway accepts connections again
    And 90 seconds pass
    Then the connection is CONNECTED
    And the breaker went from closed to open to half_open to closed, logged as an error

  Scenario: Four failures do not open it
    Given a gateway that refuses every connection
    When the process connects within 8 seconds
    And the gateway accepts connections again
    And 30 seconds pass
    Then the connection is CONNECTED
    And the breaker never moved
