@QUA-1 @CON-5 @CON-7
Feature: A gateway that is too old
  The gateway speaks a version of the protocol that we do not.

  Scenario: The process names both versions and waits for the operator
    Given a gateway that speaks protocol version 76
    When the process connects
    And 600 seconds pass
    Then connecting fails with IncompatibleVersionError, IB_CONN_006
    And the error is not worth trying again
    And the error says "(was 76)"
    And the error says "10.19 or newer"
    And the connection is FAILED
    And exactly 1 attempt was logged

  Scenario: The gateway is upgraded
    Given a gateway that speaks protocol version 76
    When the process connects
    And the gateway is upgraded
    And the process connects again
    Then the connection is CONNECTED
